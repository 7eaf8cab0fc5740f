"""A full disk and missing permissions give one line; once repaired, the same command gives the same bytes."""

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.projects import Project
from tests.skipping import skip

pytestmark = pytest.mark.slow

SEED = 20261
ROOM_MIB = 64  # size of the small disk
LEFT = 12  # up to 2 ** 12 KiB of it stay free

# Read-only folder, stage that writes into it, and whether every test run has the case.
READ_ONLY = [
    ("data", "prepare", True),
    (".", "prepare", True),
    (".dvc/cache", "prepare", False),
    ("models", "train@sgd", False),
    ("checkpoints/train@sgd", "train@sgd", False),
    ("reports", "evaluate", False),
]
UNREADABLE = [
    ("data/prepared/train.npy", "train@sgd", True),
    ("conf/config.yaml", "compose", False),
    ("params.yaml", "prepare", False),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    is_campaign = metafunc.config.getoption("campaign")
    if "left" in metafunc.fixturenames:
        source = random.Random(SEED)
        every = [
            (stage, round(2 ** (LEFT * (part + source.random()) / 4)))
            for stage in ("prepare", "train@sgd", "evaluate")
            for part in range(4)
        ]
        metafunc.parametrize(("stage", "left"), every if is_campaign else every[1:2])
    for name, cases in (("folder", READ_ONLY), ("file", UNREADABLE)):
        if name in metafunc.fixturenames:
            chosen = [(path, stage) for path, stage, always in cases if is_campaign or always]
            metafunc.parametrize((name, "stage"), chosen)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder with its own small file system."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM_MIB}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        skip("a full disk needs the right to mount one")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, left: int) -> Path:
    """Write a file that leaves this many KiB of its disk free, and return its path."""
    ballast = folder / "ballast"
    free = os.statvfs(folder)
    size = free.f_bavail * free.f_frsize - 1024 * left
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return ballast


def test_a_full_disk_is_one_line(
    stage: str,
    left: int,
    small_disk: Path,
    base: Project,
    fault: Any,
    forget: Any,
    repair: Any,
    one_line: Any,
    assert_same: Any,
    runs: Any,
) -> None:
    result = None
    while result is None or result.code == 0:  # the space left may suffice
        project = base.copy(small_disk / f"clone {left}")
        forget(project, stage)
        ballast = fill(small_disk, left)
        result = project.run("dvc", "repro", stage)
        left //= 2
        if result.code == 0:
            ballast.unlink()
            shutil.rmtree(project.repository)
    fault.inject("full disk", stage)
    one_line(result)

    ballast.unlink()
    repair(project, "--quick")
    project.succeed("dvc", "repro", stage)
    assert_same(project)
    runs(project, strictly=True)
    fault.refused()


@pytest.fixture(scope="session")
def with_modes() -> Callable[..., Any]:
    """Return a function that runs a command without root's right to ignore file modes."""
    rights = "-dac_override,-dac_read_search"
    prefix = ["setpriv", "--bounding-set", rights, "--inh-caps", rights] if os.geteuid() == 0 else []
    probe = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        skip("root ignores file modes, and setpriv can't change that here")
    return lambda project, *command: project.run(*prefix, *command)


def test_a_folder_made_read_only_is_one_line(
    folder: str,
    stage: str,
    victim: Project,
    fault: Any,
    forget: Any,
    with_modes: Any,
    one_line: Any,
    assert_same: Any,
    runs: Any,
) -> None:
    forget(victim, stage)
    path = victim.root / folder
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o555)
    fault.inject("folder made read-only", folder)
    result = with_modes(victim, "dvc", "repro", stage)
    path.chmod(0o755)
    one_line(result)

    victim.succeed("dvc", "repro", stage)
    assert_same(victim)
    runs(victim, strictly=True)
    fault.refused()


def test_a_file_made_unreadable_is_one_line(
    file: str, stage: str, victim: Project, fault: Any, forget: Any, with_modes: Any, one_line: Any, assert_same: Any
) -> None:
    forget(victim, stage)
    path = victim.root / file
    mode = path.stat().st_mode
    path.chmod(0)
    fault.inject("file made unreadable", file)
    result = with_modes(victim, "dvc", "repro", stage)
    path.chmod(mode)
    assert path.name in one_line(result)

    victim.succeed("dvc", "repro", stage)
    assert_same(victim)
    fault.refused()
