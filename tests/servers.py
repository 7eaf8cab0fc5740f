"""MLflow servers that tests start, kill and start again."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import mlflow
import psutil
from mlflow.entities import Run

from seqmnist.localhost import HOST
from tests.ports import free_port

START_SECONDS = 120
_POLL_SECONDS = 0.2


class Server:
    """An MLflow server with an SQLite database, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        """Take the folder for its database, artifacts and log; choose a free port."""
        self._folder, self.port = folder, free_port()
        self.uri = f"http://{HOST}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it listens."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db"]
        command += ["--artifacts-destination", str(self._folder / "files")]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_until_up(self._process, self.port)
        except Exception as error:
            error.add_note((self._folder / "log").read_text())
            raise

    def kill(self) -> None:
        """Kill the server and its workers by SIGKILL."""
        assert self._process
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End the server, if it was started."""
        if self._process:
            stop_server(self._process)

    def runs(self, experiment: str) -> list[Run]:
        client = mlflow.MlflowClient(self.uri)
        found = client.get_experiment_by_name(experiment)
        assert found
        return list(client.search_runs([found.experiment_id]))

    def steps(self, run: Run) -> dict[str, list[int]]:
        """Return the steps of each metric of train, val and test in a run."""
        client = mlflow.MlflowClient(self.uri)
        names = [name for name in run.data.metrics if name.startswith(("train.", "val.", "test."))]
        return {name: [one.step for one in client.get_metric_history(run.info.run_id, name)] for name in names}


def told(output: str) -> list[str]:
    """Return the names of the runs that reported that their server is away."""
    return [line.partition(":")[0] for line in output.splitlines() if "is away" in line]


def kill_when(server: Server, process: subprocess.Popen[str], shown: str) -> str:
    """Kill the server once a command prints a line that contains a text; return the whole output of the command."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if shown in line:
            server.kill()
            break
    rest, _ = process.communicate()
    assert process.returncode == 0, "".join(lines) + rest
    return "".join(lines) + rest


def wait_until_up(server: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the server, or a process that it started, listens on a port.

    Raises:
        AssertionError: The server ended, or did not listen within `START_SECONDS`.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise AssertionError(f"mlflow server ended with exit code {server.returncode}; its messages are above")
        process = psutil.Process(server.pid)
        for member in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):  # the process has just ended
                listening = [one for one in member.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
                if port in {one.laddr.port for one in listening}:
                    return
        time.sleep(_POLL_SECONDS)
    raise AssertionError(f"mlflow server did not listen within {START_SECONDS} s")


def stop_server(server: subprocess.Popen[bytes]) -> None:
    """End the server and its workers by SIGTERM."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
    server.wait()
