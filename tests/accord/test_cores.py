from types import SimpleNamespace

import pytest

from accord.cores import share

GIGABYTE = 10**9


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that this machine has 8 cores and 6 GB of free memory."""
    monkeypatch.setattr("joblib.effective_n_jobs", lambda _: 8)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=6 * GIGABYTE))


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("wanted", "jobs", "most", "memory", "shared"),
    [
        (None, None, None, None, (8, 1)),
        (None, 20, 2, None, (8, 1)),
        (None, 4, 2, None, (4, 2)),
        (None, 3, 4, None, (3, 2)),
        (None, 2, 2, None, (2, 2)),  # four cores stay idle: a training can't use more than two
        (None, 1, None, None, (1, 8)),
        (None, 20, 2, GIGABYTE, (6, 1)),
        (None, 20, 2, 4 * GIGABYTE, (1, 2)),
        (None, 20, 2, 9 * GIGABYTE, (1, 2)),
        (3, 20, 4, 9 * GIGABYTE, (3, 2)),  # the number asked for overrides the memory limit
        (3, 2, 4, None, (2, 4)),
        (12, 20, 4, None, (12, 1)),
    ],
)
def test_cores_and_memory_limit_the_parallel_trainings(
    wanted: int | None, jobs: int | None, most: int | None, memory: int | None, shared: tuple[int, int]
) -> None:
    assert share(wanted, jobs=jobs, most=most, memory=memory) == shared
