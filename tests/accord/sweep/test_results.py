import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from accord.files import sha256_file
from accord.sweep import summary
from accord.sweep.folders import Result, TrialSettings


@pytest.fixture
def sweep(tmp_path: Path, tiny_values: dict[str, Any]) -> Path:
    """Make a sweep's folder: trials 10 and 11 finished, 9 failed by an impossible value, 8 has no result yet.

    Trial 10 has metrics, and MLflow lacks a part of it. An earlier version wrote 11, without metrics.
    """
    (tmp_path / "not a trial").mkdir()
    for number, units, status in ((11, 4, "FINISHED"), (10, 4, "FINISHED"), (9, 0, "FAILED"), (8, 4, None)):
        folder = tmp_path / str(number)
        folder.mkdir()
        TrialSettings(f"rnn units={units}", str(tmp_path), number, "/data", 1).write(folder)
        cell = tiny_values["cells"]["rnn"] | {"units": units}
        (folder / "params.yaml").write_text(yaml.safe_dump(tiny_values | {"cells": {"rnn": cell}}))
        digest = sha256_file(folder / "params.yaml")
        if number == 11:
            Result("FINISHED", digest, 0.5, 0).write(folder)
        elif status == "FINISHED":
            metrics = {"selected.epoch": 1, "selected.val.accuracy": 0.6, "selected.test.accuracy": 0.55}
            Result("FINISHED", digest, 0.6, 1, is_logged=False, metrics=metrics).write(folder)
        elif status == "FAILED":
            Result("FAILED", digest, error="0 is impossible").write(folder)
    return tmp_path


def test_trials_are_those_with_a_result_as_their_folders_have_them(sweep: Path) -> None:
    failed, finished, _ = summary.trials_with_result(sweep)

    assert (finished.number, finished.name, finished.status) == (10, "rnn units=4", "FINISHED")
    assert (finished.metrics["selected.val.accuracy"], finished.metrics["selected.epoch"]) == (0.6, 1)
    assert math.isnan(finished.minutes)
    assert (failed.number, failed.status, failed.error, failed.metrics) == (9, "FAILED", "0 is impossible", {})


def test_a_trial_of_an_earlier_version_has_its_accuracy_and_epoch(sweep: Path) -> None:
    *_, trial = summary.trials_with_result(sweep)
    assert trial.metrics == {"selected.val.accuracy": 0.5, "selected.epoch": 0}
    head, *_, row = summary.rows(summary.trials_with_result(sweep))
    values = dict(zip(head, row, strict=True))
    assert (values["epoch"], values["val.accuracy"], values["test.accuracy"]) == (0, 0.5, None)


def test_results_that_mlflow_lacks_are_counted(sweep: Path) -> None:
    assert summary.unsent(sweep) == 1


def test_the_table_of_results_has_no_minutes(sweep: Path) -> None:
    _, line, earlier, _ = summary.table(summary.trials_with_result(sweep)).splitlines()
    assert line.split() == ["10", "rnn", "units=4", "0.6000", "0.5500", "-"]
    assert earlier.split() == ["11", "rnn", "units=4", "0.5000", "-", "-"]
    assert len(line) == len(earlier)
