"""Stale runs: those whose process ended before it could end them, found by tags that name the process."""

import hashlib
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil
from mlflow import MlflowClient

HOST, PLACE, PID, STARTED = "process.host", "process.place", "process.pid", "process.started"


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
    """Return a name for the machine and container in which a process's number means the same process."""
    # Laptops may share a name, and containers their host's. Systemd asks to keep the machine's id back: a hash does.
    numbering, machine = Path("/proc/self/ns/pid"), Path("/etc/machine-id")  # of Linux only
    parts = [socket.gethostname()]
    parts += [str(numbering.readlink())] if numbering.is_symlink() else []
    parts += [machine.read_text("utf-8").strip()] if machine.is_file() else []
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _started(process: psutil.Process) -> str:
    """Return seconds from the machine's start to the process's: the time of day changes when the clock is set."""
    return f"{process.create_time() - psutil.boot_time():.2f}"
