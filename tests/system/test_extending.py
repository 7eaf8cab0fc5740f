"""docs/extending.md works as written."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def test_the_page_on_a_new_cell_works_as_written(project: Any) -> None:
    blocks = re.findall(r"^```(\w+)\n(.+?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    files = {}
    for kind, text in blocks:
        if kind != "console":
            first, _, rest = text.partition("\n")
            files[first.removeprefix("# ")] = rest
    for name, text in files.items():
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text(text.replace("units: 150", "units: 8"))
    (commands,) = [text.splitlines() for kind, text in blocks if kind == "console"]
    for command in commands:
        result = project.succeed("sh", "-c", command, PYTHONPATH="src")

    assert "train@mgu" in result.stages_run
    assert list(project.metrics()) == ["rnn", "lstm", "mgu", "claims"]
    assert (project.root / "reports/figures/confusion_mgu.png").exists()
    plots = json.loads(project.succeed("dvc", "plots", "show", "--json").output)["data"]
    for name in ("validation accuracy", "training loss"):
        drawn = plots[name][0]["content"]["data"]["values"]
        assert [(point["cell"], point["epoch"]) for point in drawn] == [
            (cell, epoch) for cell in ("rnn", "lstm", "mgu") for epoch in ("0", "1")
        ]
    assert {f"reports/predictions/{cell}.csv" for cell in ("rnn", "lstm", "mgu")} < plots.keys()
    (test,) = [name for name in files if name.startswith("tests/")]
    project.succeed("python", "-m", "pytest", "-q", test, PYTHONPATH="src")
