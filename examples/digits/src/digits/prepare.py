"""The stage prepare: split scikit-learn's images into train, val and test, one array each in data/prepared."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accord.experiments import run_stage
from accord.files import atomic_path
from accord.settings import load
from digits import runs
from digits.config import Config

Split = tuple[NDArray[np.float64], NDArray[np.int64]]  # pixels [n, 64] from 0 to 1, labels [n]


def read_splits(folder: Path) -> dict[str, Split]:
    """Return the splits train, val and test, read from a folder."""
    arrays = {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}  # uint8 [n, 65]
    return {name: (array[:, :-1] / 16, array[:, -1].astype(np.int64)) for name, array in arrays.items()}


def main() -> None:
    """Shuffle the images by the seed of the configuration and write the three splits."""
    from sklearn.datasets import load_digits

    config = load(Config)
    with runs.prepare(config).run():
        table = np.column_stack(load_digits(return_X_y=True)).astype(np.uint8)  # [1797, 65]: pixels 0 to 16, label
        table = np.random.default_rng(config.data.seed).permutation(table)
        borders = config.data.test, config.data.test + config.data.validation
        for name, part in zip(("test", "val", "train"), np.split(table, borders), strict=True):
            with atomic_path(runs.PREPARED / f"{name}.npy") as temporary:
                np.save(temporary, part)
            print(f"{name}: {len(part)} images")


if __name__ == "__main__":
    run_stage(main)
