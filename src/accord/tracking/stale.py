"""Stale runs: RUNNING in MLflow although their process has ended. Tags that identify the process reveal them."""

import hashlib
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil
from mlflow import MlflowClient

HOST, PLACE, PID, STARTED = "process.host", "process.place", "process.pid", "process.started"


def process_tags() -> dict[str, str]:
    """Return tags that identify this process, even among later processes with the same id."""
    process = psutil.Process()
    return {HOST: socket.gethostname(), PLACE: _place(), PID: str(process.pid), STARTED: _started(process)}


def end_stale_runs(client: MlflowClient, experiment_id: str) -> None:
    """Mark as KILLED the runs that an ended process of this machine left RUNNING."""
    condition = f"attributes.status = 'RUNNING' and tags.`{PLACE}` = '{_place()}'"
    for run in client.search_runs([experiment_id], condition):
        with suppress(psutil.NoSuchProcess):
            if _started(psutil.Process(int(run.data.tags[PID]))) == run.data.tags[STARTED]:
                continue
        client.set_terminated(run.info.run_id, "KILLED")


@cache
def _place() -> str:
    """Return a hash that identifies the machine and container, within which process ids are unique."""
    # Host names are not unique: laptops may share one, and containers may have their host's. systemd asks programs to
    # keep the machine id confidential, so it is hashed.
    numbering, machine = Path("/proc/self/ns/pid"), Path("/etc/machine-id")  # exist on Linux only
    parts = [socket.gethostname()]
    parts += [str(numbering.readlink())] if numbering.is_symlink() else []
    parts += [machine.read_text("utf-8").strip()] if machine.is_file() else []
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _started(process: psutil.Process) -> str:
    """Return the seconds from boot to the process's start, which stay the same when the clock is set."""
    return f"{process.create_time() - psutil.boot_time():.2f}"
