"""Loops that run the trials of a search: one by one on this machine, in batches with other launchers."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from joblib.externals.loky import get_reusable_executor
from omegaconf import DictConfig

if TYPE_CHECKING:
    from accord.sweep.search.study import Search  # imports Optuna

_POLL_SECONDS = 0.25  # poll interval for finished epochs


def run_one_by_one(
    search: "Search", numbers: Iterator[int], workers: int, job: tuple[HydraContext, DictConfig, TaskFunction]
) -> None:
    """Run trials on this machine, and replace each one that ends by the next, chosen by all results so far.

    Args:
        search: The study.
        numbers: Numbers of the trials; taking one may ask the study for a new trial.
        workers: Number of parallel trials.
        job: Arguments of Hydra's `execute_job` that all trials share.
    """
    from hydra_plugins.hydra_joblib_launcher._core import execute_job  # Hydra's joblib launcher runs trials by it

    executor = get_reusable_executor(max_workers=workers, reuse=False)
    running: dict[Future[Any], int] = {}
    try:
        while True:
            while len(running) < workers and (number := next(numbers, None)) is not None:
                arguments = number, search.overrides(number), *job, Singleton.get_state()
                running[executor.submit(execute_job, *arguments)] = number
            if not running:
                return
            ended, _ = wait(running, _POLL_SECONDS, FIRST_COMPLETED)
            for number in running.values():
                search.look(number)
            for future in sorted(ended, key=lambda one: running[one]):
                _ = future.result().return_value  # raises the job's exception, which is a bug: jobs never raise
                search.tell(running.pop(future))
    finally:
        executor.shutdown(kill_workers=True)


def run_in_batches(search: "Search", numbers: Iterator[int], workers: int, launcher: Launcher) -> None:
    """Run trials in batches of as many as there are workers, since a launcher waits for all of its trials.

    Args:
        search: The study.
        numbers: Numbers of the trials; taking one may ask the study for a new trial.
        workers: Number of trials in a batch.
        launcher: Launcher of Hydra that runs a batch.
    """
    while batch := list(islice(numbers, workers)):
        # A launcher numbers its trials consecutively, so each run of consecutive numbers is launched by itself.
        for _, group in groupby(enumerate(batch), lambda one: one[1] - one[0]):
            trials = [number for _, number in group]
            with _watched(search, trials):
                jobs = launcher.launch([search.overrides(number) for number in trials], initial_job_idx=trials[0])
            for job in jobs:
                _ = job.return_value  # raises the job's exception
            for number in trials:
                search.look(number)  # before any `tell`, so that no trial is compared with others of its batch
            for number in trials:
                search.tell(number)


@contextmanager
def _watched(search: "Search", trials: Sequence[int]) -> Iterator[None]:
    """Report the epochs of trials to the study in a thread, until the block ends."""
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(_POLL_SECONDS):
            for number in trials:
                search.look(number)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
