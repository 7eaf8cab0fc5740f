"""A large sweep that leaves no processes and files: 200 trials in a campaign, else a few."""

import os
import re
from pathlib import Path

import psutil
import pytest

from tests.projects import Project

pytestmark = pytest.mark.slow

TRIALS = 200


def test_a_sweep_leaves_nothing_behind(project: Project, is_campaign: bool, tmp_path: Path) -> None:
    trials = TRIALS if is_campaign else 4
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    before = set(project.root.iterdir())
    command = ("python", "-m", "digits.sweep", "-m", "model=sgd", f"seed=range(0,{trials})", "train.epochs=1")
    handles, memory = [], []
    with project.start(*command, PYTHONPATH="src", TMPDIR=str(temporary)) as process:
        assert process.stdout is not None
        driver = psutil.Process(process.pid)
        for line in process.stdout:
            if line.startswith("#"):  # a trial is over
                handles.append(driver.num_fds())
                memory.append(driver.memory_info().rss)
    assert process.returncode == 0
    assert len(handles) == trials
    # The first trials open files that stay open: the store and the workers' pipes.
    print(f"driver: {handles[3]} to {handles[-1]} handles, {memory[3] / 1e6:.0f} to {memory[-1] / 1e6:.0f} MB")
    assert max(handles[3:]) <= handles[3] + 2
    assert memory[-1] < memory[3] + 50e6
    assert set(project.root.iterdir()) - before <= {
        project.root / name for name in ("sweeps", "mlflow.db", "mlartifacts")
    }
    assert sorted(path.name for path in project.repository.iterdir()) == [".git", "team"]
    assert list(temporary.iterdir()) == []
    # Names contain the id of the process that made the file; other tests may run sweeps in parallel.
    assert [path for path in Path("/dev/shm").iterdir() if re.search(rf"[-_]{process.pid}[-_]", path.name)] == []
    assert processes_of(project) == []


def processes_of(project: Project) -> list[str]:
    """Return the command lines of processes that work in this clone or name it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and (process.cwd() + " ".join(process.cmdline())).count(
                str(project.repository)
            ):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found
