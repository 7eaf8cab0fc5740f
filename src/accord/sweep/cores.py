"""Cores for each launcher: the number of parallel trials, and the threads of each trial."""

from collections.abc import Mapping
from typing import Any

from joblib import effective_n_jobs
from omegaconf import DictConfig

from accord.cores import share
from accord.errors import UserError
from accord.project import find_project
from accord.sweep.launchers import JOBLIB, RAY, SLURM, is_of

_WORKERS = "hydra.sweeper.workers"


def of_trial(launcher: DictConfig | Mapping[str, Any]) -> int:
    """Return the number of threads for one trial: its share of the cores, at most the project's `cores`."""
    most = find_project().cores
    if is_of(launcher, RAY):
        own = int(launcher["ray"]["remote"].get("num_cpus") or 1)
    elif "cpus_per_task" in launcher:  # a Slurm job has its own cores
        own = int(launcher["cpus_per_task"] or 1)
    else:
        return share(int(effective_n_jobs(launcher.get("n_jobs", 1))), most=most).threads  # -2: all cores but one
    return max(1, min(own, most or own))


def search_workers(given: int | None, launcher: DictConfig) -> int:
    """Return the number of parallel trials of a search.

    The default is half of the trials that the cores can run, so that the sampler knows more results when it chooses.
    It is at least 2: even two cores gain time, since a trial keeps no core busy while it starts.

    Args:
        given: Configured number of workers; None is `auto`.
        launcher: Configuration of the launcher.

    Raises:
        UserError: The launcher can't run that many trials, or needs a number and has none.
    """
    if is_of(launcher, JOBLIB):
        if given and launcher.n_jobs not in {-1, given}:
            raise UserError(f"hydra.launcher.n_jobs = {launcher.n_jobs} has no effect: {_WORKERS} = {given} sets it")
        return given or (launcher.n_jobs if launcher.n_jobs > 0 else max(2, share().workers // 2))
    if is_of(launcher, RAY):
        return given or max(2, _slots(launcher) // 2)
    if is_of(launcher, SLURM):
        if given is None:
            raise UserError(f"{_WORKERS} = auto: with Slurm, give the number of jobs to run at a time")
        return given
    if given not in {None, 1}:
        raise UserError(f"{_WORKERS} = {given}: the launcher {launcher.get('_target_')} runs one trial at a time")
    return 1


def _slots(launcher: DictConfig) -> int:
    """Return how many trials the connected Ray cluster can run at a time."""
    import ray

    return int(ray.cluster_resources().get("CPU", 1) // (launcher.ray.remote.get("num_cpus") or 1))
