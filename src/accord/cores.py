"""Division of this machine's cores: how many trainings run in parallel, and how many threads each gets."""

from typing import NamedTuple


class Share(NamedTuple):
    """The number of trainings that run in parallel, and the number of threads of each."""

    workers: int
    threads: int


def share(
    wanted: int | None = None, *, jobs: int | None = None, most: int | None = None, memory: int | None = None
) -> Share:
    """Divide the cores that this process may use among parallel trainings.

    Args:
        wanted: Number of trainings to run in parallel, or None for as many as cores and free memory allow.
        jobs: Total number of trainings, if known; no more than that run in parallel.
        most: Maximum number of threads that one training can use.
        memory: Memory that one training needs, in bytes. It is ignored if `wanted` is given.
    """
    import psutil
    from joblib import effective_n_jobs  # respects the CPU limits of a container

    cores = int(effective_n_jobs(-1))
    workers = wanted or cores
    if wanted is None and memory:
        workers = min(workers, psutil.virtual_memory().available // memory)
    workers = max(1, min(workers, jobs or workers))
    return Share(workers, max(1, min(cores // workers, most or cores)))
