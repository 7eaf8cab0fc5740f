"""The stage prepare: write two clouds of points to data/clouds."""

import json
from pathlib import Path
from random import Random

import dvc.api

FOLDER = Path("data/clouds")


def main() -> None:
    """Draw points for training and for validation, each with its label -1 or 1."""
    count, random = dvc.api.params_show()["count"], Random(0)  # noqa: S311  # no secrets
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("train.json", "val.json"):
        labels = [random.choice((-1, 1)) for _ in range(count)]
        points = [(random.gauss(label, 1.5), random.gauss(label, 1.5), label) for label in labels]
        (FOLDER / name).write_text(json.dumps(points), "utf-8")


if __name__ == "__main__":
    main()
