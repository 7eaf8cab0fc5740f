"""Trials of a search at work: one by one where that can be, else in batches."""

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

_POLL_SECONDS = 0.25  # between looks at the epochs of trials


def run_one_by_one(
    search: "Search", numbers: Iterator[int], workers: int, job: tuple[HydraContext, DictConfig, TaskFunction]
) -> None:
    """Run trials on this machine: when one ends, the next values are chosen by all that is known then."""
    from hydra_plugins.hydra_joblib_launcher._core import execute_job  # what Hydra's launcher runs for a trial, too

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
                _ = future.result().return_value  # raises what ended the job, which should not raise itself
                search.tell(running.pop(future))
    finally:
        executor.shutdown(kill_workers=True)


def run_in_batches(search: "Search", numbers: Iterator[int], workers: int, launcher: Launcher) -> None:
    """Run as many trials as there are workers, wait for all of them, and go on: a launcher of Hydra's waits for all."""
    while batch := list(islice(numbers, workers)):
        for _, group in groupby(enumerate(batch), lambda one: one[1] - one[0]):  # it counts on from the first number
            trials = [number for _, number in group]
            with _watched(search, trials):
                jobs = launcher.launch([search.overrides(number) for number in trials], initial_job_idx=trials[0])
            for job in jobs:
                _ = job.return_value  # raises what ended a job
            for number in trials:
                search.look(number)  # before any is told: no trial is compared with others of its batch
            for number in trials:
                search.tell(number)


@contextmanager
def _watched(search: "Search", trials: Sequence[int]) -> Iterator[None]:
    """Look at the epochs of trials while the block waits for them."""
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
