import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from accord.errors import UserError
from accord.sweep import processes

# A process with the command line of a trial; it ends on SIGTERM.
TRIAL = "import sys; print(flush=True); sys.stdin.read()"

Start = Callable[[Path], subprocess.Popen[bytes]]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return a function that starts a trial of this driver; all trials end with the test."""
    monkeypatch.setenv(processes.DRIVER, "")  # removed after the test
    processes.name_driver()
    started = []

    def run(folder: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", TRIAL, processes.MODULE, str(folder)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout
        process.stdout.readline()
        return process

    yield run
    for process in started:
        with process:
            process.kill()


def test_only_another_process_of_this_machine_is_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(processes.DRIVER, raising=False)
    assert not processes.is_worker()
    processes.name_driver()
    assert not processes.is_worker(), "the driver itself"
    monkeypatch.setenv(processes.DRIVER, f"{socket.gethostname()} {os.getppid()}")
    assert processes.is_worker()
    monkeypatch.setenv(processes.DRIVER, f"elsewhere {os.getppid()}")
    assert not processes.is_worker()


def test_all_trials_of_this_driver_are_ended_and_no_others(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = start(tmp_path / "0")
    monkeypatch.setenv(processes.DRIVER, f"{socket.gethostname()} 1")
    other = start(tmp_path / "1")
    processes.name_driver()
    processes.end_trials()
    assert not psutil.pid_exists(own.pid)
    assert other.poll() is None


def test_a_sweep_whose_trials_go_on_is_refused(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_STOP_TIMEOUT_SECONDS", 0.1)
    trial = start(tmp_path / "sweep" / "0")
    with pytest.raises(UserError, match=rf"sweep is in use by process {trial.pid}:"):
        processes.wait_for_trials(tmp_path / "sweep")
    processes.wait_for_trials(tmp_path / "another")


def test_only_one_driver_at_a_time_can_claim_a_sweep(tmp_path: Path) -> None:
    with processes.claim(tmp_path / "sweep"):
        with pytest.raises(UserError, match="sweep is in use by another sweep: end it"):
            processes.claim(tmp_path / "sweep")
        processes.claim(tmp_path / "another").close()
    processes.claim(tmp_path / "sweep").close()


def test_a_trial_without_a_sweep_is_waited_for(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_STOP_TIMEOUT_SECONDS", 0.1)
    start(tmp_path / "sweep" / "0")
    with pytest.raises(UserError, match="0 is in use"):
        processes.wait_for_trials(tmp_path / "sweep" / "0")
    processes.wait_for_trials(tmp_path / "sweep" / "1")


def test_trials_that_end_are_waited_for(start: Start, tmp_path: Path) -> None:
    trial = start(tmp_path / "sweep" / "0")
    psutil.Process(trial.pid).terminate()
    processes.wait_for_trials(tmp_path / "sweep")  # no error
