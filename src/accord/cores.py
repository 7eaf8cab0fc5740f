"""Shares of this machine's cores: how many trainings run side by side, and how many threads each has."""

from typing import NamedTuple


class Share(NamedTuple):
    """A number of trainings at a time, and of threads for each."""

    workers: int
    threads: int


def share(
    wanted: int | None = None, *, jobs: int | None = None, most: int | None = None, memory: int | None = None
) -> Share:
    """Return how the cores that this process may use are shared.

    Args:
        wanted: Number of trainings that shall run at a time, None for as many as there are cores and memory.
        jobs: Number of all trainings, where it is known.
        most: The most threads that one can use.
        memory: Bytes that one needs.
    """
    import psutil
    from joblib import effective_n_jobs  # minds the limits of a container

    cores = int(effective_n_jobs(-1))
    workers = wanted or cores
    if wanted is None and memory:
        workers = min(workers, psutil.virtual_memory().available // memory)
    workers = max(1, min(workers, jobs or workers))
    return Share(workers, max(1, min(cores // workers, most or cores)))
