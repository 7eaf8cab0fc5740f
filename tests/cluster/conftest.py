"""Fixtures for real servers and schedulers on this machine; a missing program fails a test, and never skips it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.conftest import fresh, project, reproduced, unrun  # noqa: F401  (fixtures)

PACKAGES = {
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "munged": "munge",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "unshare": "util-linux",
    "initdb": "postgresql",
}
_STOP_TIMEOUT_SECONDS = 30  # for a process to end itself


def need(*programs: str) -> None:
    """Fail the test if a program is missing, and name its package."""
    missing = sorted({PACKAGES.get(name, name) for name in programs if shutil.which(name) is None})
    if missing:
        pytest.fail(f"missing: {', '.join(missing)}: `apt-get install {' '.join(missing)}` as root", pytrace=False)


def need_root(why: str) -> None:
    """Fail the test unless it runs as root."""
    if os.geteuid() != 0:
        pytest.fail(f"these tests must run as root: {why}", pytrace=False)


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    wait: Callable[[subprocess.Popen[bytes]], None],
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server, wait until it is ready, and end it with all processes that it started.

    Args:
        command: Command of a server that stays in the foreground.
        log: File to which the output is appended.
        wait: Function that returns when the server is ready, and raises if it never will be.
        environment: Environment of the process; None inherits this one's.
        cwd: Working directory of the process.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=cwd, stdout=output, stderr=output, start_new_session=True
        )
    try:
        try:
            wait(process)
        except Exception as error:
            error.add_note(log.read_text(encoding="utf-8", errors="replace"))
            raise
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_SECONDS)
        finally:
            kill_group(process.pid)
            process.wait()


def kill_group(number: int) -> None:
    """Kill the remaining processes of a process group."""
    try:
        os.killpg(number, signal.SIGKILL)
    except ProcessLookupError:
        return
