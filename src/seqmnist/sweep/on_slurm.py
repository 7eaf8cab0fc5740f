"""Trials that are jobs of Slurm: how Slurm's commands show and end them.

Hydra's plugin submits them; submitit, below it, keeps what it knows of a job in <sweep>/.submitit/<its number>.
"""

import math
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig

from seqmnist.errors import UserError

MISSING = "hydra/launcher=submitit_slurm needs submitit: make setup-cluster, then . .venv-cluster/bin/activate"
_LAUNCHER = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
_MAX_MESSAGE_CHARACTERS = 400  # of what submitit says
_KEPT = ".submitit"
_CANCEL_TIMEOUT_SECONDS = 90  # Slurm waits KillWait of them for each job
_POLL_SECONDS = 1.0


def is_slurm(launcher: DictConfig) -> bool:
    """Return whether the configured launcher is that of Slurm."""
    return bool(launcher.get("_target_") == _LAUNCHER)


def prepare(folder: Path) -> None:
    """Check that a sweep in a folder can start.

    Raises:
        UserError: Slurm is not here, or has jobs of this sweep: they go on where the driver was killed.
    """
    if shutil.which("sbatch") is None:
        raise UserError("hydra/launcher=submitit_slurm: there is no sbatch here: start it where Slurm's commands are")
    if waiting := queued(folder):
        jobs = " ".join(waiting)
        raise UserError(f"{folder} is at work in Slurm (jobs {jobs}): wait for their end, or `scancel {jobs}`")
    from seqmnist.sweep import slurm_queue

    slurm_queue.watch()


def queued(folder: Path) -> list[str]:
    """Return the jobs of a sweep that Slurm has not ended yet; an array of jobs is one."""
    jobs = sorted({path.name.partition("_")[0] for path in (folder / _KEPT).glob("[0-9]*")})
    if not jobs or shutil.which("squeue") is None:
        return []
    command = ["squeue", "--noheader", "--format=%F", f"--jobs={','.join(jobs)}"]
    # Of jobs that it has forgotten Slurm says nothing, or it is an error where they are all that is asked for.
    found = subprocess.run(command, check=False, capture_output=True, text=True).stdout.split()
    return [job for job in jobs if job in found]


def cancel(folder: Path) -> None:
    """End the jobs of a sweep and wait for their ends: each trial says in MLflow how it ended."""
    if jobs := queued(folder):
        subprocess.run(["scancel", *jobs], check=False)
        wait(folder, _CANCEL_TIMEOUT_SECONDS)


def wait(folder: Path, seconds: float = math.inf) -> None:
    """Wait for the ends of a sweep's jobs, at most so many seconds."""
    until = time.monotonic() + seconds
    while queued(folder) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)


@contextmanager
def telling_of_slurm(wait_for_others: Callable[[], None]) -> Iterator[None]:
    """Tell in a line of the first job that ended without a result, after the ends of all others.

    Raises:
        UserError: there is one.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("submitit."):
            raise
        told = UserError(f"Slurm: {' '.join(str(error).split())[:_MAX_MESSAGE_CHARACTERS]}")
        wait_for_others()
        raise told from None
