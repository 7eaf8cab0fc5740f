"""Real servers and schedulers on this machine; what one lacks is named, never passed over."""

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
_PATIENCE = 30  # seconds that a process has to end itself in


def need(*programs: str) -> None:
    """Fail where a program is missing, or the right to start servers as other users."""
    missing = sorted({PACKAGES.get(name, name) for name in programs if shutil.which(name) is None})
    if missing:
        pytest.fail(f"missing: {', '.join(missing)}: `apt-get install {' '.join(missing)}` as root", pytrace=False)


def need_root(why: str) -> None:
    """Fail where the tests don't run as root."""
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
    """Run a server, wait until it is ready, and end it and all that it started.

    Args:
        command: in the foreground: the server must not detach itself.
        log: takes what it prints.
        wait: returns when the server is ready, and raises when it never will be.
        environment: of the process; this one's if None.
        cwd: its working directory.
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
            process.wait(_PATIENCE)
        finally:
            kill_group(process.pid)
            process.wait()


def kill_group(number: int) -> None:
    """Kill what is left of a process group."""
    try:
        os.killpg(number, signal.SIGKILL)
    except ProcessLookupError:
        return
