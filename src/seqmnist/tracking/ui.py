"""Serve MLflow's page on this machine and print where to look."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from mlflow import MlflowClient

from seqmnist import config
from seqmnist.config import Tracking
from seqmnist.errors import Terminated, UserError, run_command
from seqmnist.files import sha256_file
from seqmnist.paths import PARAMS
from seqmnist.tracking.identity import CONFIG
from seqmnist.tracking.lineage import newest_finished
from seqmnist.tracking.store import open_store, tracking_uri

HOST = "127.0.0.1"
FIRST_PORT, PORTS = 5000, 100
START_SECONDS = 120


def main() -> None:
    """Start the server, wait for it, print the links, and stay until Ctrl-C."""
    configuration = config.load()
    client, experiment = open_store(configuration.tracking)
    uri = tracking_uri(configuration.tracking)
    found = links(client, experiment, list(configuration.cells), sha256_file(PARAMS))
    if sweeps := client.get_experiment_by_name(f"{configuration.tracking.experiment}-sweeps"):
        found["sweeps"] = experiment_link(sweeps.experiment_id)
    if uri.startswith("http"):
        print_links(uri.rstrip("/"), found)
        return
    port = free_port()
    print(f"starting MLflow on {HOST}:{port} ...", flush=True)
    server = start_server(configuration.tracking, port)
    try:
        wait_until_up(server, port)
        print_links(f"http://{HOST}:{port}", found)
        print("Ctrl-C ends it.", flush=True)
        server.wait()
    except (KeyboardInterrupt, Terminated):
        print()
    finally:
        stop_server(server)


def links(client: MlflowClient, experiment: str, cells: list[str], config: str) -> dict[str, str]:
    """Paths on the server by what they show: all runs, and one finished train run of each cell compared.

    It is the newest of the configuration with the digest `config`; the newest of all where that has none.
    """
    found = {"all runs": experiment_link(experiment)}
    newest = {}
    for cell in cells:
        wanted = {"stage": "train", "cell": cell}
        run = newest_finished(client, experiment, {**wanted, CONFIG: config})
        if run := run or newest_finished(client, experiment, wanted):
            newest[cell] = run.info.run_id
    if len(newest) > 1:
        runs, experiments = (urllib.parse.quote(json.dumps(ids)) for ids in (list(newest.values()), [experiment]))
        found[f"{' and '.join(newest)} compared"] = f"/#/compare-runs?runs={runs}&experiments={experiments}"
    return found


def experiment_link(experiment: str) -> str:
    """The path to an experiment's runs, in the view for training models."""
    return f"/#/experiments/{experiment}/runs?workflowType=machine_learning"


def print_links(address: str, paths: dict[str, str]) -> None:
    """A line for each link."""
    for name, path in paths.items():
        print(f"  {name}: {address}{path}", flush=True)


def free_port() -> int:
    """The first port from 5000 that nothing listens on.

    Raises:
        UserError: none of a hundred is free.
    """
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise UserError(f"no port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1} is free: end one of the programs there")


def start_server(tracking: Tracking, port: int) -> subprocess.Popen[bytes]:
    """Start MLflow's server in a process group of its own, so that Ctrl-C reaches this process alone."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri(tracking)]
    command += ["--host", HOST, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    environment = os.environ | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # workers that nothing here uses
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "PYTHONWARNINGS": "ignore",
    }
    return subprocess.Popen(command, env=environment, start_new_session=True)


def wait_until_up(server: subprocess.Popen[bytes], port: int) -> None:
    """Return when the server answers.

    Raises:
        UserError: it ended, or didn't answer in time.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # also where a proxy is set
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if (code := server.poll()) is not None:
            raise UserError(f"mlflow server ended with exit code {code}; its messages are above")
        try:
            with direct.open(f"http://{HOST}:{port}/health", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    raise UserError(f"mlflow server did not answer within {START_SECONDS} s")


def stop_server(server: subprocess.Popen[bytes]) -> None:
    """End the server and its workers."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
    server.wait()


if __name__ == "__main__":
    run_command(main)
