"""States of jobs where Slurm keeps no accounts: submitit asks `sacct`, which then knows nothing."""

import subprocess

from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

_POLL_SECONDS = 60  # Slurm forgets a job some minutes after its end (MinJobAge)


class QueueWatcher(SlurmInfoWatcher):  # type: ignore[misc]  # submitit is in .venv-cluster alone
    """Asks `squeue` for jobs that wait, run, or ended a short time ago."""

    def _make_command(self) -> list[str] | None:
        command = super()._make_command()
        if command is None:
            return None
        jobs = command[command.index("--parsable2") + 2 :: 2]
        return ["squeue", "--states=all", "--format=%i|%T|%N", f"--jobs={','.join(jobs)}"]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """Return the output of `squeue` by job, in the words of `sacct`."""
        text = string if isinstance(string, str) else string.decode()
        found: dict[str, dict[str, str]] = super().read_info(text.replace("JOBID|STATE|", "JobID|State|", 1))
        return found


def watch() -> None:
    """Have submitit's jobs watched by `squeue` unless Slurm keeps accounts."""
    if subprocess.run(["sacct", "--noheader"], check=False, capture_output=True).returncode:
        SlurmJob.watcher = QueueWatcher(_POLL_SECONDS)
