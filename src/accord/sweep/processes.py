"""The processes of a sweep: the driver, which the user started, launchers' workers, and trials, which they start."""

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
DRIVER = "ACCORD_SWEEP_DRIVER"  # in the environment of all: host and number of the driver
_STOP_TIMEOUT_SECONDS = 30  # of trials


def name_driver() -> None:
    """Make this process known as the driver to those that launchers start."""
    os.environ[DRIVER] = f"{socket.gethostname()} {os.getpid()}"


def is_worker() -> bool:
    """Return whether a launcher started this process on the driver's machine."""
    host, _, number = os.environ.get(DRIVER, "").partition(" ")
    return host == socket.gethostname() and number != str(os.getpid())


def driver_lives() -> bool:
    """Return whether the driver of this worker is still there."""
    try:
        return bool(psutil.Process(int(os.environ[DRIVER].partition(" ")[2])).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def end_trials() -> None:
    """Ask the trials of this driver to end, also those whose worker is gone, and wait for them."""
    trials = _trials(lambda process: process.environ().get(DRIVER) == os.environ[DRIVER])
    for trial in trials:
        trial.terminate()
    psutil.wait_procs(trials, timeout=_STOP_TIMEOUT_SECONDS)


def wait_for_trials(folder: Path) -> None:
    """Wait until orphaned trials of a sweep's or trial's folder end by themselves; refuse it where one goes on."""
    trials = _trials(lambda one: folder in {_folder(one), _folder(one).parent})
    if going_on := psutil.wait_procs(trials, _STOP_TIMEOUT_SECONDS)[1]:
        raise UserError(f"{folder} is at work (process {going_on[0].pid}): end that, or wait for its end")


def claim(sweep: Path) -> TextIO:
    """Lock a sweep's folder until the lock is closed or the process ends; refuse one that another driver has."""
    if lock := files.claim(sweep / ".lock"):  # trials may be on machines where they can't be seen
        return lock
    raise UserError(f"{sweep} is at work: end that, or wait for its end")


def _folder(trial: psutil.Process) -> Path:
    command = trial.cmdline()
    return Path(command[command.index(MODULE) + 1]).resolve()


def _trials(which: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ValueError):  # it is gone or just ended, without a command line; or another user's
            if MODULE in process.cmdline() and which(process):
                found.append(process)
    return found
