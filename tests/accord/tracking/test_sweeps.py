import socket
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from accord.errors import UserError
from accord.settings import Tracking
from accord.tracking import sweeps
from accord.tracking.stale import PID, PLACE, STARTED
from accord.tracking.store import open_store
from accord.tracking.sweeps import Sweep, read_run
from seqmnist.config import Config


@pytest.fixture
def sweep(tracking: Tracking, tmp_path: Path) -> Sweep:
    """Return a sweep that has started."""
    sweep = Sweep.configured(tracking, tmp_path)
    sweep.start("a sweep", {"sweep.command": "python -m seqmnist.sweep -m"})
    return sweep


def add_trial(tracking: Tracking, sweep: Sweep, number: int, config: str = "abc", status: str = "FINISHED") -> str:
    client, experiment = open_store(tracking)
    tags = {**sweep.trial_tags(number), **sweep.extra_tags(), "config.sha256": config}
    run_id = str(client.create_run(experiment, tags=tags, run_name=f"trial {number}").info.run_id)
    client.log_metric(run_id, "val.accuracy", 0.5, step=0)
    client.log_metric(run_id, "val.accuracy", 0.6, step=1)
    client.log_param(run_id, "cell.units", "8")
    client.log_param(run_id, "cell.type", "rnn")
    if status != "RUNNING":
        client.set_terminated(run_id, status)
    return run_id


def run_of(tracking: Tracking, run_id: str | None) -> Run:
    client: MlflowClient = open_store(tracking)[0]
    return client.get_run(run_id)


def test_trials_have_the_git_tags_of_their_sweep(tracking: Tracking, tmp_path: Path) -> None:
    sweep = Sweep.configured(tracking, tmp_path)
    assert sweep.extra_tags() == {}
    sweep.start("a sweep", {"sweep.command": "c", "git.commit": "abc", "git.dirty": "false", "config.sha256": "other"})
    again = Sweep.configured(tracking, tmp_path)
    assert again.extra_tags() == {"sweep.command": "c", "git.commit": "abc", "git.dirty": "false"}
    again.start("a sweep", {"git.error": "detected dubious ownership"})
    assert Sweep.configured(tracking, tmp_path).extra_tags() == {
        "sweep.command": "c",
        "git.error": "detected dubious ownership",
    }


def test_a_trial_on_another_machine_is_waited_for(
    tracking: Tracking, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = add_trial(tracking, sweep, 3, status="RUNNING")
    client = open_store(tracking)[0]
    client.set_tag(run_id, PLACE, "elsewhere")
    looks = []

    def look(_seconds: float) -> None:
        looks.append(run_of(tracking, run_id).info.status)
        if len(looks) == 3:
            client.set_terminated(run_id, "KILLED")

    monkeypatch.setattr(time, "sleep", look)
    sweep.wait_for_end(4, "abc")
    assert looks == [], "another trial"
    sweep.wait_for_end(3, "abc")
    assert looks == ["RUNNING"] * 3
    monkeypatch.setattr(sweeps, "_END_TIMEOUT_SECONDS", 0)
    client.update_run(run_id, status="RUNNING")
    sweep.wait_for_end(3, "abc")  # returns although the run is RUNNING: its machine may be gone


def test_a_sweep_describes_its_experiment_unless_a_user_did(tracking: Tracking, tmp_path: Path) -> None:
    client, experiment = open_store(tracking)

    def note() -> str:
        return str(client.get_experiment(experiment).tags["mlflow.note.content"])

    assert "Compare the cells" in note()
    Sweep.configured(tracking, tmp_path / "first").start("a sweep", {})
    assert note().startswith("A run for each sweep")

    client.set_experiment_tag(experiment, "mlflow.note.content", "What my group agreed on.")
    Sweep.configured(tracking, tmp_path / "second").start("a sweep", {})
    assert note() == "What my group agreed on."


@pytest.mark.parametrize("name", ["plain", "it's a folder", "percent %20"])
def test_a_sweep_is_found_again_by_its_folder(tracking: Tracking, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    assert Sweep.configured(tracking, folder).run_id is None
    first = Sweep.configured(tracking, folder)
    first.start("a sweep", {})
    first.end("KILLED")

    again = Sweep.configured(tracking, folder)

    assert again.run_id == first.run_id
    again.start("a sweep", {})
    assert again.run_id == first.run_id
    assert run_of(tracking, again.run_id).info.status == "RUNNING"
    assert Sweep.configured(tracking, tmp_path / "another").run_id is None


def test_a_sweep_knows_that_another_machine_has_its_folder(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Sweep.configured(tracking, tmp_path).other_host is None
    Sweep.configured(tracking, tmp_path).start("a sweep", {})
    assert Sweep.configured(tracking, tmp_path).other_host is None
    elsewhere = {"process.host": "here", "process.place": "another"}
    monkeypatch.setattr(sweeps, "process_tags", lambda: elsewhere)
    assert Sweep.configured(tracking, tmp_path).other_host == socket.gethostname()


def test_results_of_a_sweep_get_a_new_step_each_time(tracking: Tracking, sweep: Sweep, tmp_path: Path) -> None:
    for finished in (1, 2):
        sweep.record({"trials.finished": finished}, {}, tmp_path)
    client, _ = open_store(tracking)
    points = client.get_metric_history(sweep.run_id, "trials.finished")
    assert [(point.step, point.value) for point in points] == [(0, 1), (1, 2)]


def test_a_sweep_lists_the_newest_run_of_each_trial(tracking: Tracking, sweep: Sweep, tmp_path: Path) -> None:
    other = Sweep.configured(tracking, tmp_path / "other")
    other.start("another sweep", {})
    add_trial(tracking, other, 0)
    add_trial(tracking, sweep, 10)
    add_trial(tracking, sweep, 2, status="FAILED")
    newest = add_trial(tracking, sweep, 2, config="def")

    trials = sweep.trials()

    assert [trial.number for trial in trials] == [2, 10]
    assert trials[0].run_id == newest
    assert trials[0].parameters == {"cell.units": 8, "cell.type": "rnn"}
    assert trials[0].command == "python -m seqmnist.sweep -m"
    assert sweep.curve(trials[0], "val.accuracy") == [0.5, 0.6]
    assert run_of(tracking, newest).data.tags["mlflow.parentRunId"] == sweep.run_id


def test_a_trial_says_in_which_epoch_it_was_pruned(tracking: Tracking, sweep: Sweep) -> None:
    for number in (0, 1):
        add_trial(tracking, sweep, number)
    whole, late = sweep.trials()
    assert (whole.pruned, late.pruned) == (None, None)
    marked = sweep.mark_pruned(late, 0)
    assert (marked.pruned, marked.run_id) == (0, late.run_id)
    assert [trial.pruned for trial in sweep.trials()] == [None, 0]
    assert run_of(tracking, late.run_id).data.tags["pruned"] == "0"


def test_a_trials_run_is_found_by_its_configuration(tracking: Tracking, sweep: Sweep) -> None:
    run_id = add_trial(tracking, sweep, 1, config="abc")
    assert sweep.trial_run_id(1, "abc") == run_id
    assert sweep.trial_run_id(1, "def") is None
    assert sweep.trial_run_id(2, "abc") is None


def test_a_trial_without_a_run_gets_one_with_the_error(sweep: Sweep) -> None:
    sweep.settle(3, "abc", "rnn units=0", "FAILED", "0 is impossible")
    (trial,) = sweep.trials()
    assert (trial.number, trial.name, trial.status, trial.error) == (3, "rnn units=0", "FAILED", "0 is impossible")


def test_a_run_that_its_process_left_running_is_ended(tracking: Tracking, sweep: Sweep) -> None:
    add_trial(tracking, sweep, 0, status="RUNNING")
    sweep.settle(0, "abc", "unused", "KILLED", "killed by SIGKILL")
    (trial,) = sweep.trials()
    assert (trial.name, trial.status, trial.error) == ("trial 0", "KILLED", "killed by SIGKILL")


def test_a_run_with_an_error_and_final_status_is_left_alone(tracking: Tracking, sweep: Sweep) -> None:
    run_id = add_trial(tracking, sweep, 0, status="FAILED")
    open_store(tracking)[0].set_tag(run_id, "error", "it diverged")
    sweep.settle(0, "abc", "unused", "KILLED", "something else")
    (trial,) = sweep.trials()
    assert (trial.status, trial.error) == ("FAILED", "it diverged")


def test_trials_of_ended_processes_become_killed(tracking: Tracking, sweep: Sweep) -> None:
    client, _ = open_store(tracking)
    run_id = add_trial(tracking, sweep, 0, status="RUNNING")
    tags = run_of(tracking, sweep.run_id).data.tags
    for key, value in {PLACE: tags[PLACE], PID: tags[PID], STARTED: "1.0"}.items():
        client.set_tag(run_id, key, value)
    sweep.settle_stale()
    assert run_of(tracking, run_id).info.status == "KILLED"
    assert run_of(tracking, sweep.run_id).info.status == "RUNNING", "its process, this one, lives"


def test_a_run_id_names_a_trial_or_a_sweep(tracking: Tracking, sweep: Sweep, tiny_config: Config) -> None:
    run_id = add_trial(tracking, sweep, 4)
    trial = read_run(tracking, run_id)
    assert not isinstance(trial, list)
    assert trial.number == 4
    assert sweep.run_id
    assert read_run(tiny_config.tracking, sweep.run_id) == [trial], "from another experiment of the same store"
    with pytest.raises(UserError, match="'nonsense' is no run of"):
        read_run(tracking, "nonsense")


def test_all_runs_of_a_sweep_name_their_user(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    sweep = Sweep.configured(tracking, tmp_path)
    sweep.start("a sweep", {})
    sweep.settle(0, "abc", "a trial that made none itself", "FAILED", "why")

    client, experiment = open_store(tracking)
    assert [run.info.user_id for run in client.search_runs([experiment])] == ["ann", "ann"]


@pytest.mark.parametrize("name", ["moved", "it's (1) #2", "%"])
def test_a_sweep_that_moved_away_from_its_store_keeps_its_run(tracking: Tracking, tmp_path: Path, name: str) -> None:
    before, after = tmp_path / "before", tmp_path / name
    before.mkdir()
    sweep = Sweep.configured(tracking, before)
    sweep.start("a sweep", {})
    trial = add_trial(tracking, sweep, 0)
    before.rename(after)

    moved = Sweep.configured(tracking, after, before)

    assert moved.run_id == sweep.run_id
    assert [one.run_id for one in moved.trials()] == [trial]
    assert Sweep.configured(tracking, before).run_id == sweep.run_id, "to look changes nothing"
    moved.start("a sweep", {})
    assert Sweep.configured(tracking, after).run_id == sweep.run_id  # the run's tag has the new folder
    assert Sweep.configured(tracking, before).run_id is None


def test_a_copy_of_a_sweep_does_not_take_the_run_of_the_original(tracking: Tracking, tmp_path: Path) -> None:
    before, copy = tmp_path / "before", tmp_path / "copy"
    before.mkdir()
    sweep = Sweep.configured(tracking, before)
    sweep.start("a sweep", {})

    with pytest.raises(UserError) as caught:
        Sweep.configured(tracking, copy, before)

    assert str(caught.value) == f"{copy} is a copy of {before}, and MLflow's runs belong to that: give it instead"
    assert Sweep.configured(tracking, before).run_id == sweep.run_id
    assert Sweep.configured(tracking, copy, tmp_path / "never started").run_id is None
