"""Slurm jobs of a sweep: list, cancel and await them by Slurm's commands.

Hydra's plugin submits the jobs by submitit, which keeps a job's files in <sweep>/.submitit/<id of the job>.
"""

import math
import shutil
import subprocess
import time
from pathlib import Path

from accord.errors import UserError

MISSING = "hydra/launcher=submitit_slurm needs an environment with accord[slurm]"
_KEPT = ".submitit"
_CANCEL_TIMEOUT_SECONDS = 90  # Slurm gives a job the time KillWait to end, which is a part of this
_POLL_SECONDS = 1.0
_QUEUE_POLL_SECONDS = 60  # Slurm forgets a job some minutes after its end (MinJobAge)


def prepare(folder: Path) -> None:
    """Check that a sweep can submit jobs, and make submitit work without Slurm's accounting.

    Raises:
        UserError: Slurm's commands are missing, or jobs of the sweep still run since only the driver was killed.
    """
    if shutil.which("sbatch") is None:
        raise UserError("hydra/launcher=submitit_slurm: no command sbatch here: start the sweep on a host with Slurm")
    if waiting := queued(folder):
        jobs = " ".join(waiting)
        raise UserError(f"{folder} is in use by Slurm (jobs {jobs}): wait for their end, or run `scancel {jobs}`")
    _watch_queue()


def queued(folder: Path) -> list[str]:
    """Return the ids of a sweep's jobs that Slurm still lists, one id for each job array."""
    jobs = sorted({path.name.partition("_")[0] for path in (folder / _KEPT).glob("[0-9]*")})
    if not jobs or shutil.which("squeue") is None:
        return []
    command = ["squeue", "--noheader", "--format=%F", f"--jobs={','.join(jobs)}"]
    # squeue leaves out jobs that Slurm has forgotten, and fails if it has forgotten all of them.
    found = subprocess.run(command, check=False, capture_output=True, text=True).stdout.split()
    return [job for job in jobs if job in found]


def cancel(folder: Path) -> None:
    """Cancel the jobs of a sweep and wait for their end until a timeout; each trial ends its own MLflow run."""
    if jobs := queued(folder):
        subprocess.run(["scancel", *jobs], check=False)
        wait(folder, _CANCEL_TIMEOUT_SECONDS)


def wait(folder: Path, seconds: float = math.inf) -> None:
    """Wait until the jobs of a sweep have ended, for at most this many seconds."""
    until = time.monotonic() + seconds
    while queued(folder) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)


def _watch_queue() -> None:
    """Make submitit ask `squeue` for the states of jobs where `sacct` fails because Slurm keeps no accounting."""
    from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

    class QueueWatcher(SlurmInfoWatcher):  # type: ignore[misc]  # submitit is in .venv-cluster alone
        def _make_command(self) -> list[str] | None:
            """Return the command that lists jobs that wait, run or ended recently; None if there is nothing to ask."""
            if (command := super()._make_command()) is None:
                return None
            jobs = command[command.index("--parsable2") + 2 :: 2]
            return ["squeue", "--states=all", "--format=%i|%T|%N", f"--jobs={','.join(jobs)}"]

        def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
            """Parse the output of `squeue`, with its header renamed to that of `sacct`, into states by job."""
            text = string if isinstance(string, str) else string.decode()
            found: dict[str, dict[str, str]] = super().read_info(text.replace("JOBID|STATE|", "JobID|State|", 1))
            return found

    if subprocess.run(["sacct", "--noheader"], check=False, capture_output=True).returncode:
        SlurmJob.watcher = QueueWatcher(_QUEUE_POLL_SECONDS)
