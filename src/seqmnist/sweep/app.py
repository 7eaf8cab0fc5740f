"""The sweep application: Hydra's command line, its sweepers and launchers, round `seqmnist.sweep.job`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import hydra
import psutil

from seqmnist.errors import Terminated, UserError
from seqmnist.paths import CONF
from seqmnist.sweep.job import MODULE, name_driver, run_trial
from seqmnist.sweep.parent import ParentRun
from seqmnist.sweep.targets import Refused, checked

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 30  # seconds that trials have to end themselves in


def main() -> None:
    """Run what Hydra makes of the command line: one trial, or with -m a sweep.

    Raises:
        UserError: a sweep can't start, or a trial of it failed.
    """
    if not CONF.is_dir():
        raise UserError(f"there is no folder {CONF} here: run it at the repository's root")
    name_driver()
    command = hydra.main(version_base="1.3", config_path=str(CONF.resolve()), config_name="sweep")(run_trial)
    with _ending_trials():
        stopped = True
        try:
            with checked():
                command()
            stopped = False
        except Refused as refused:
            raise UserError(str(refused)) from None
        finally:
            failed = ParentRun.close(stopped=stopped)
    if failed:
        raise UserError(failed)


@contextmanager
def _ending_trials() -> Iterator[None]:
    """On Ctrl-C, SIGTERM or SIGHUP end the trials first; each says in MLflow how it ended."""

    def handle(number: int, _frame: FrameType | None) -> NoReturn:
        for one in _SIGNALS:
            signal.signal(one, signal.SIG_IGN)  # once is enough
        _end_trials()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    before = {one: signal.signal(one, handle) for one in _SIGNALS if signal.getsignal(one) != signal.SIG_IGN}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _end_trials() -> None:
    """Ask the processes of all trials to end, and wait for them."""
    trials = [process for process in psutil.Process().children(recursive=True) if _is_trial(process)]
    for trial in trials:
        trial.terminate()
    psutil.wait_procs(trials, timeout=_PATIENCE)


def _is_trial(process: psutil.Process) -> bool:
    try:
        return MODULE in process.cmdline()
    except psutil.Error:  # it is gone
        return False
