"""Tags that say which configuration, commit, DVC experiment and process a run is of."""

import hashlib
import os
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil
from mlflow import MlflowClient

from accord.files import sha256_file
from accord.git import GitError, git, is_expected
from accord.paths import PARAMS

CONFIG = "config.sha256"  # the tag with the SHA-256 of params.yaml
CODE = ("git.commit", "git.dirty", "git.error")
HOST, PLACE, PID, STARTED = "process.host", "process.place", "process.pid", "process.started"


def identity_tags() -> dict[str, str]:
    """Return the tags that find the runs of one configuration, commit or DVC experiment.

    They have the commit and whether files differ from it, or else the reason why git does not say.
    """
    tags, (commit, dirty, error) = experiment_tags(), CODE
    try:
        tags[commit] = git("log", "-1", "--format=%H", "--no-show-signature")  # also says why there is none
        # dvc.lock and params.yaml are written while the pipeline runs: that is no edit.
        ours = [f":(top,exclude,glob)**/{name}" for name in ("dvc.lock", "params.yaml")]
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", *ours)
        tags[dirty] = str(bool(changed)).lower()
    except GitError as reason:
        tags[error] = str(reason)
        # MLflow asks git as well, by GitPython, and would wait for it without an end.
        os.environ |= {"GIT_PYTHON_REFRESH": "quiet", "GIT_PYTHON_GIT_EXECUTABLE": os.devnull}
        if is_expected():
            _tell(str(reason))
    return tags


@cache
def _tell(reason: str) -> None:
    """Print once in a process why runs lack tags of git."""
    print(f"git: runs get no tag of the code: {reason}", flush=True)


def experiment_tags() -> dict[str, str]:
    """Return the digest of the configuration, and the name of the DVC experiment if this is in one.

    A run whose outputs serve others too has all of theirs, separated by spaces.
    """
    tags = {CONFIG: sha256_file(PARAMS)}
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags["dvc.experiment"] = experiment
    return tags


def process_tags() -> dict[str, str]:
    """Return tags that tell this process from any other, also from a later one with the same number."""
    process = psutil.Process()
    return {HOST: socket.gethostname(), PLACE: _place(), PID: str(process.pid), STARTED: _started(process)}


def end_stale_runs(client: MlflowClient, experiment_id: str) -> None:
    """Mark as KILLED the runs that a process of this machine left RUNNING: it was killed, or the machine was."""
    condition = f"attributes.status = 'RUNNING' and tags.`{PLACE}` = '{_place()}'"
    for run in client.search_runs([experiment_id], condition):
        with suppress(psutil.NoSuchProcess):
            if _started(psutil.Process(int(run.data.tags[PID]))) == run.data.tags[STARTED]:
                continue
        client.set_terminated(run.info.run_id, "KILLED")


@cache
def _place() -> str:
    """Return a name for the machine and container in which a process's number means the same process.

    Two laptops may have one name, and containers their host's name but numbers of their own. Systemd asks not to give
    the machine's id away: its hash tells machines apart as well.
    """
    numbering, machine = Path("/proc/self/ns/pid"), Path("/etc/machine-id")  # of Linux only
    parts = [socket.gethostname()]
    parts += [str(numbering.readlink())] if numbering.is_symlink() else []
    parts += [machine.read_text().strip()] if machine.is_file() else []
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _started(process: psutil.Process) -> str:
    """Return seconds from the machine's start to the process's: the time of day changes when the clock is set."""
    return f"{process.create_time() - psutil.boot_time():.2f}"
