import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from seqmnist.files import sha256_file
from seqmnist.sweep import results, summary
from seqmnist.sweep.folders import Result, Trial
from seqmnist.training import history
from seqmnist.training.history import METRICS, Row


@pytest.fixture
def sweep(tmp_path: Path, tiny_values: dict[str, Any]) -> Path:
    """Trial 10 is finished, but MLflow has not all of it; 9 failed by an impossible value; 8 has no result yet."""
    (tmp_path / "not a trial").mkdir()
    for number, units, status in ((10, 4, "FINISHED"), (9, 0, "FAILED"), (8, 4, None)):
        folder = tmp_path / str(number)
        folder.mkdir()
        Trial(f"rnn units={units}", str(tmp_path), number, "/data", 1).write(folder)
        cell = tiny_values["cells"]["rnn"] | {"units": units}
        (folder / "params.yaml").write_text(yaml.safe_dump(tiny_values | {"cells": {"rnn": cell}}))
        digest = sha256_file(folder / "params.yaml")
        if status == "FINISHED":
            rows = [Row(42, epoch, dict.fromkeys(METRICS, 0.5 + epoch / 10)) for epoch in range(2)]
            history.write(folder / "reports/train/rnn/history.csv", rows)
            Result("FINISHED", digest, 0.6, 1, is_logged=False).write(folder)
        elif status == "FAILED":
            Result("FAILED", digest, error="0 is impossible").write(folder)
    return tmp_path


def test_trials_are_those_with_a_result_as_their_folders_have_them(sweep: Path) -> None:
    failed, finished = results.trials(sweep)

    assert (finished.number, finished.name, finished.status) == (10, "rnn units=4", "FINISHED")
    assert finished.parameters["cell.units"] == 4
    assert (finished.metrics["selected.val.accuracy"], finished.metrics["selected.epoch"]) == (0.6, 1)
    assert math.isnan(finished.minutes)
    assert (failed.number, failed.status, failed.error, failed.metrics) == (9, "FAILED", "0 is impossible", {})


def test_what_mlflow_lacks_is_counted(sweep: Path) -> None:
    assert results.unsent(sweep) == 1


def test_their_table_has_no_minutes(sweep: Path) -> None:
    _, line, _ = summary.table(results.trials(sweep)).splitlines()
    assert line.split() == ["10", "rnn", "units=4", "0.6000", "0.6000", "-"]
