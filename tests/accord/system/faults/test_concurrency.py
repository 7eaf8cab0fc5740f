"""Parallel commands, a locked store, and a clock that is set back."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.accord.system.faults.killing import STAGE, Command
from tests.projects import Project
from tests.skipping import skip

pytestmark = pytest.mark.slow

POLL_SECONDS = 0.05
BACK = "-1d"
SECOND = "second.txt"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "both_run" in metafunc.fixturenames:
        is_campaign = metafunc.config.getoption("campaign")
        metafunc.parametrize("both_run", ["prepare", "train@mlp", "evaluate"] if is_campaign else ["prepare"])


@pytest.fixture
def stored(victim: Project, forget: Any) -> Project:
    """Return a clone with a store, in which prepare has not run."""
    forget(victim, "prepare")
    victim.succeed("dvc", "repro", "prepare")
    forget(victim, "prepare")
    return victim


def test_a_store_that_is_locked_for_a_while_is_waited_for(
    stored: Project, fault: Any, assert_same: Any, runs: Any
) -> None:
    with closing(sqlite3.connect(stored.root / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        fault.inject("mlflow.db locked by another process", "for a while")
        command = Command(stored, ["dvc", "repro", "prepare"])
        while not any(has_open(process, "mlflow.db") for process in command.below(STAGE)):
            assert command.runs_for(POLL_SECONDS), command.output
        other.execute("ROLLBACK")
    assert command.process.wait() == 0, command.output
    assert_same(stored)
    assert [run.info.status for run in runs(stored, strictly=True)] == ["FINISHED"] * 2


def has_open(process: psutil.Process, name: str) -> bool:
    try:
        return any(Path(file.path).name == name for file in process.open_files())
    except psutil.Error:  # it is gone
        return False


def test_a_store_that_stays_locked_is_one_line(
    stored: Project, fault: Any, one_line: Any, assert_same: Any, runs: Any
) -> None:
    with closing(sqlite3.connect(stored.root / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        fault.inject("mlflow.db locked by another process", "for good")
        result = stored.run("dvc", "repro", "prepare")
    assert "locked" in one_line(result)

    stored.succeed("dvc", "repro", "prepare")
    assert_same(stored)
    runs(stored, strictly=True)
    fault.refused()


def test_two_commands_at_once_give_the_bytes_of_one(
    both_run: str, victim: Project, fault: Any, forget: Any, repair: Any, one_line: Any, assert_same: Any, runs: Any
) -> None:
    forget(victim, both_run)
    commands = [Command(victim, ["dvc", "repro", both_run]), Command(victim, ["dvc", "repro", both_run], log=SECOND)]
    fault.inject("two `dvc repro` at once", both_run)
    ended_well(commands, one_line)

    repair(victim, "--quick")
    victim.succeed("dvc", "repro", both_run)
    assert_same(victim)
    assert [run.info.status for run in runs(victim, strictly=True) if run.info.run_name == both_run] == ["FINISHED"]


def test_an_experiment_beside_the_pipeline_leaves_its_bytes_alone(
    victim: Project, fault: Any, forget: Any, repair: Any, one_line: Any, assert_same: Any
) -> None:
    forget(victim, "prepare")
    experiment = ["dvc", "exp", "run", "--temp", "prepare", "-S", "data.validation=12"]
    commands = [Command(victim, ["dvc", "repro", "prepare"]), Command(victim, experiment, log=SECOND)]
    fault.inject("`dvc repro` beside `dvc exp run --temp`")
    ended_well(commands, one_line)

    repair(victim, "--quick")
    victim.succeed("dvc", "repro", "prepare")
    assert_same(victim)


def ended_well(commands: list[Command], one_line: Any) -> None:
    """Assert that each command succeeded or says in one line why not, and that at least one succeeded."""
    codes = [command.process.wait() for command in commands]
    for command in commands:
        if command.process.returncode != 0:
            one_line(command)
    assert 0 in codes, [command.output for command in commands]


@pytest.fixture
def clock() -> list[str]:
    """Return a command prefix that changes the time of day but not timers."""
    if shutil.which("faketime") is None:
        skip("no faketime on this machine: the clock can't be set back")
    return ["faketime", "-m", "--exclude-monotonic", "-f"]


def test_a_clock_that_was_set_back_before_a_command_changes_no_bit(
    stored: Project, clock: list[str], fault: Any, assert_same: Any, runs: Any
) -> None:
    fault.inject("clock set back", "before the command")
    stored.succeed(*clock, BACK, "dvc", "repro", "prepare")
    assert_same(stored)
    assert [run.info.status for run in runs(stored, strictly=True)] == ["FINISHED"] * 2


@pytest.mark.campaign
def test_a_clock_that_is_set_back_while_a_stage_runs_changes_no_bit(
    victim: Project, clock: list[str], fault: Any, forget: Any, assert_same: Any, runs: Any
) -> None:
    forget(victim, "train@mlp")
    time_of_day = victim.repository / ".git/clock"
    time_of_day.write_text("+0\n")
    file = ["env", "-u", "FAKETIME", f"FAKETIME_TIMESTAMP_FILE={time_of_day}", "FAKETIME_NO_CACHE=1"]
    command = Command(victim, [*clock, "+0", *file, "dvc", "repro", "train@mlp"])
    while "train@mlp  epoch 1 " not in command.output:
        assert command.runs_for(POLL_SECONDS), command.output
    time_of_day.write_text(f"{BACK}\n")
    fault.inject("clock set back", "in training")
    assert command.process.wait() == 0, command.output
    assert_same(victim)
    assert [run.info.status for run in runs(victim, strictly=True)] == ["FINISHED"]
