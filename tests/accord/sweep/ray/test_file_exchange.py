import time
from pathlib import Path

import pytest

from accord.sweep.folders import SweepRequest
from accord.sweep.ray.file_exchange import FileExchange, Supplies
from accord.sweep.ray.file_sync import Change

REQUEST = SweepRequest(["cell=rnn,lstm"], [], {"uri": None, "experiment": "sweeps"})


@pytest.fixture
def exchange(tmp_path: Path) -> FileExchange:
    return FileExchange(Supplies(str(tmp_path), REQUEST, {"MLFLOW_TRACKING_URI": "http://server"}, "abc", []))


def begun(exchange: FileExchange, number: int) -> Supplies:
    start = exchange.begin(number)
    assert start is not None
    return start


def test_a_trial_gets_the_files_of_its_earlier_attempt_but_not_hydras(exchange: FileExchange, tmp_path: Path) -> None:
    assert begun(exchange, 0).files == {}
    folder = tmp_path / "1"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra/config.yaml").write_text("x")
    (folder / "trial.log").write_text("epoch 0")
    start = begun(exchange, 1)
    assert (start.files, start.request, start.attempt) == ({"trial.log": b"epoch 0"}, REQUEST, 0)


def test_files_of_a_trial_are_copied_into_the_sweeps_folder(exchange: FileExchange, tmp_path: Path) -> None:
    start = begun(exchange, 2)
    assert exchange.take(2, start.attempt, Change({"models/a": b"1", "old": b"2"}, [])) == (True, {})
    assert exchange.take(2, start.attempt, Change({}, ["old"])) == (True, {})
    assert [path.name for path in (tmp_path / "2").rglob("*")] == ["models", "a"]


def test_only_the_last_attempt_of_a_restarted_trial_is_heard(exchange: FileExchange, tmp_path: Path) -> None:
    begun(exchange, 0)
    exchange.take(0, 0, Change({"checkpoint": b"after epoch 3"}, []))
    again = begun(exchange, 0)
    assert (again.attempt, again.files) == (1, {"checkpoint": b"after epoch 3"})
    assert exchange.take(0, 0, Change({"checkpoint": b"late"}, [])) == (False, {})
    exchange.end(0, 0, "late")
    assert (tmp_path / "0/checkpoint").read_bytes() == b"after epoch 3"
    assert not exchange.is_idle()
    exchange.end(0, 1, "over")
    assert exchange.lines() == ["#0: its worker is gone, and another one resumes it", "over"]
    assert exchange.lines() == []
    assert exchange.is_idle()


def test_a_trial_receives_the_decision_that_it_is_pruned(exchange: FileExchange, tmp_path: Path) -> None:
    start = begun(exchange, 0)
    (tmp_path / "0").mkdir()
    (tmp_path / "0/pruned.json").write_text("at epoch 1")
    assert exchange.take(0, start.attempt, Change({}, [])) == (True, {"pruned.json": b"at epoch 1"})


def test_a_sweep_that_is_stopped_ends_its_trials_and_starts_none(exchange: FileExchange) -> None:
    start = begun(exchange, 0)
    exchange.stop()
    assert exchange.take(0, start.attempt, Change({}, [])) == (False, {})
    assert exchange.begin(1) is None
    assert not exchange.is_idle()
    exchange.end(0, start.attempt, "stopped")
    assert exchange.is_idle()


def test_a_trial_that_is_silent_is_not_waited_for(exchange: FileExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    start = begun(exchange, 0)
    now += 15
    exchange.take(0, start.attempt, Change({}, []))
    now += 15
    assert not exchange.is_idle()
    now += 15
    assert exchange.is_idle()
