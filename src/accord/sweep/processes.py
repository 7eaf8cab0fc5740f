"""Processes of a sweep: the driver that the user started, the launcher's workers, and the trials that workers start."""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import psutil

from accord import files
from accord.errors import UserError

MODULE = "accord.sweep.trial"
DRIVER = "ACCORD_SWEEP_DRIVER"  # environment variable of all processes: host and process id of the driver
_STOP_TIMEOUT_SECONDS = 30  # for trials to end


def name_driver() -> None:
    """Name this process as the driver in the environment that launchers' workers inherit."""
    os.environ[DRIVER] = f"{socket.gethostname()} {os.getpid()}"


def is_worker() -> bool:
    """Return whether a launcher started this process on the driver's machine."""
    host, _, number = os.environ.get(DRIVER, "").partition(" ")
    return host == socket.gethostname() and number != str(os.getpid())


def driver_lives() -> bool:
    """Return whether the driver of this worker still runs."""
    try:
        return bool(psutil.Process(int(os.environ[DRIVER].partition(" ")[2])).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def end_trials() -> None:
    """Terminate all trials of this driver, orphaned ones too, and wait for them until a timeout."""
    trials = _trials(lambda process: process.environ().get(DRIVER) == os.environ[DRIVER])
    for trial in trials:
        trial.terminate()
    psutil.wait_procs(trials, timeout=_STOP_TIMEOUT_SECONDS)


def wait_for_trials(folder: Path) -> None:
    """Wait until the orphaned trials of a folder end themselves.

    Args:
        folder: Resolved path of the folder of a sweep or of one trial.

    Raises:
        UserError: A trial still runs after the timeout.
    """
    trials = _trials(lambda one: folder in {_folder(one), _folder(one).parent})
    if going_on := psutil.wait_procs(trials, _STOP_TIMEOUT_SECONDS)[1]:
        raise UserError(f"{folder} is in use by process {going_on[0].pid}: end it, or wait for its end")


def claim(sweep: Path) -> TextIO:
    """Lock a sweep's folder until the lock is closed or this process ends.

    Raises:
        UserError: Another driver has the lock.
    """
    if lock := files.claim(sweep / ".lock"):  # a list of processes would miss trials on other machines
        return lock
    raise UserError(f"{sweep} is in use by another sweep: end it, or wait for its end")


def _folder(trial: psutil.Process) -> Path:
    command = trial.cmdline()
    return Path(command[command.index(MODULE) + 1]).resolve()


def _trials(which: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ValueError):  # it just ended, or belongs to another user
            if MODULE in process.cmdline() and which(process):
                found.append(process)
    return found
