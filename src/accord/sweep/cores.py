"""Cores as launchers share them: the number of trials at a time, and the threads of each."""

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
    """Return a trial's share of the cores where a launcher runs several side by side: no more than it can use."""
    most = find_project().cores
    if is_of(launcher, RAY):
        own = int(launcher["ray"]["remote"].get("num_cpus") or 1)
    elif "cpus_per_task" in launcher:  # a job of Slurm has cores of its own
        own = int(launcher["cpus_per_task"] or 1)
    else:
        return share(int(effective_n_jobs(launcher.get("n_jobs", 1))), most=most).threads  # -2: all cores but one
    return max(1, min(own, most or own))


def search_workers(given: int | None, launcher: DictConfig) -> int:
    """Return how many trials of a search run at a time: unless a number is given, as many as half the cores carry.

    More would have the sampler choose by fewer results. Two are the least: they win time also on two cores, since
    a trial keeps no core busy while it starts.

    Raises:
        UserError: The launcher can't run so many, or does not know how many it can.
    """
    if is_of(launcher, JOBLIB):
        if given and launcher.n_jobs not in {-1, given}:
            raise UserError(f"hydra.launcher.n_jobs = {launcher.n_jobs} has no effect: {_WORKERS} = {given} says it")
        return given or (launcher.n_jobs if launcher.n_jobs > 0 else max(2, share().workers // 2))
    if is_of(launcher, RAY):
        return given or max(2, _slots(launcher) // 2)
    if is_of(launcher, SLURM):
        if given is None:
            raise UserError(f"{_WORKERS} = auto: with Slurm give the number of jobs at a time, of which each waits")
        return given
    if given not in {None, 1}:
        raise UserError(f"{_WORKERS} = {given}: the launcher {launcher.get('_target_')} runs one trial at a time")
    return 1


def _slots(launcher: DictConfig) -> int:
    """Return how many trials the connected Ray cluster can run at a time."""
    import ray

    return int(ray.cluster_resources().get("CPU", 1) // (launcher.ray.remote.get("num_cpus") or 1))
