"""Trials that are jobs of Slurm: how Slurm's commands show and end them.

Hydra's plugin submits them; submitit, below it, keeps what it knows of a job in <sweep>/.submitit/<its number>.
"""

import math
import shutil
import subprocess
import time
from pathlib import Path

from accord.errors import UserError

MISSING = "hydra/launcher=submitit_slurm needs an environment with accord[slurm]"
_KEPT = ".submitit"
_CANCEL_TIMEOUT_SECONDS = 90  # Slurm waits KillWait of them for each job
_POLL_SECONDS = 1.0
_QUEUE_POLL_SECONDS = 60  # Slurm forgets a job some minutes after its end (MinJobAge)


def prepare(folder: Path) -> None:
    """Refuse a sweep where Slurm is not, or whose jobs go on because only the driver was killed; watch the queue."""
    if shutil.which("sbatch") is None:
        raise UserError("hydra/launcher=submitit_slurm: there is no sbatch here: start it where Slurm's commands are")
    if waiting := queued(folder):
        jobs = " ".join(waiting)
        raise UserError(f"{folder} is at work in Slurm (jobs {jobs}): wait for their end, or `scancel {jobs}`")
    _watch_queue()


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


def _watch_queue() -> None:
    """Have submitit ask `squeue` for the states of jobs where Slurm keeps no accounts: `sacct` knows nothing there."""
    from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

    class QueueWatcher(SlurmInfoWatcher):  # type: ignore[misc]  # submitit is in .venv-cluster alone
        def _make_command(self) -> list[str] | None:
            """Return the command that shows jobs that wait, run, or ended a short time ago."""
            if (command := super()._make_command()) is None:
                return None
            jobs = command[command.index("--parsable2") + 2 :: 2]
            return ["squeue", "--states=all", "--format=%i|%T|%N", f"--jobs={','.join(jobs)}"]

        def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
            """Return the output of `squeue` by job, in the words of `sacct`."""
            text = string if isinstance(string, str) else string.decode()
            found: dict[str, dict[str, str]] = super().read_info(text.replace("JOBID|STATE|", "JobID|State|", 1))
            return found

    if subprocess.run(["sacct", "--noheader"], check=False, capture_output=True).returncode:
        SlurmJob.watcher = QueueWatcher(_QUEUE_POLL_SECONDS)
