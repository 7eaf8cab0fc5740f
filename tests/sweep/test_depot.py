import time
from pathlib import Path

import pytest

from seqmnist.sweep.depot import Depot, Start, Supplies
from seqmnist.sweep.folders import Request
from seqmnist.sweep.parcels import Change

REQUEST = Request(["cell=rnn,lstm"], [], {"uri": None, "experiment": "sweeps"})


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    REQUEST.write(tmp_path)
    return Depot(Supplies(str(tmp_path), {"MLFLOW_TRACKING_URI": "http://server"}, "abc", []))


def begun(depot: Depot, number: int) -> Start:
    start = depot.begin(number)
    assert start is not None
    return start


def test_a_trial_gets_what_came_of_it_before_but_for_hydras_files(depot: Depot, tmp_path: Path) -> None:
    assert begun(depot, 0).files == {}
    folder = tmp_path / "1"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra/config.yaml").write_text("x")
    (folder / "trial.log").write_text("epoch 0")
    start = begun(depot, 1)
    assert (start.files, start.request, start.attempt) == ({"trial.log": b"epoch 0"}, REQUEST, 0)


def test_what_a_trial_makes_is_in_the_sweeps_folder(depot: Depot, tmp_path: Path) -> None:
    start = begun(depot, 2)
    assert depot.take(2, start.attempt, Change({"models/a": b"1", "old": b"2"}, []))
    assert depot.take(2, start.attempt, Change({}, ["old"]))
    assert [path.name for path in (tmp_path / "2").rglob("*")] == ["models", "a"]


def test_of_a_trial_that_started_again_only_the_last_attempt_is_heard(depot: Depot, tmp_path: Path) -> None:
    begun(depot, 0)
    depot.take(0, 0, Change({"checkpoint": b"after epoch 3"}, []))
    again = begun(depot, 0)
    assert (again.attempt, again.files) == (1, {"checkpoint": b"after epoch 3"})
    assert not depot.take(0, 0, Change({"checkpoint": b"late"}, []))
    depot.end(0, 0, "late")
    assert (tmp_path / "0/checkpoint").read_bytes() == b"after epoch 3"
    assert not depot.is_idle()
    depot.end(0, 1, "over")
    assert depot.lines() == ["#0: its worker is gone, and another goes on with it", "over"]
    assert depot.lines() == []
    assert depot.is_idle()


def test_a_sweep_that_is_stopped_ends_its_trials_and_starts_none(depot: Depot) -> None:
    start = begun(depot, 0)
    depot.stop()
    assert not depot.take(0, start.attempt, Change({}, []))
    assert depot.begin(1) is None
    assert not depot.is_idle()
    depot.end(0, start.attempt, "stopped")
    assert depot.is_idle()


def test_a_trial_that_is_silent_is_not_waited_for(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    start = begun(depot, 0)
    now += 15
    depot.take(0, start.attempt, Change({}, []))
    now += 15
    assert not depot.is_idle()
    now += 15
    assert depot.is_idle()
