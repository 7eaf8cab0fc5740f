"""Serve MLflow's page on this machine and print where to look."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import psutil

from accord.errors import UserError
from accord.files import sha256_file
from accord.paths import PARAMS
from accord.process import Terminated, run_command
from accord.settings import Tracking
from accord.tracking.connection import is_server
from accord.tracking.restore import newest_finished
from accord.tracking.run_tags import CONFIG
from accord.tracking.store import open_store, tracking_uri
from seqmnist import config
from seqmnist.localhost import HOST, NAMES, listener
from seqmnist.metric_names import VALIDATION_ACCURACY

if TYPE_CHECKING:
    from mlflow import MlflowClient

_FIRST_PORT = 5000
START_SECONDS = 120
_POLL_SECONDS = 0.2
_query = partial(urlencode, quote_via=quote)


def main() -> None:
    """Start the server, wait for it, print the links, and stay until Ctrl-C."""
    configuration = config.load()
    client, experiment = open_store(configuration.tracking)
    uri = tracking_uri(configuration.tracking)
    found = links(client, experiment, list(configuration.cells), sha256_file(PARAMS))
    if sweeps := client.get_experiment_by_name(f"{configuration.tracking.experiment}-sweeps"):
        found["sweeps"] = experiment_link(sweeps.experiment_id)
    if is_server(uri):
        print_links(uri.rstrip("/"), found)
        return
    with listener(_FIRST_PORT) as free:
        port = int(free.getsockname()[1])
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


def links(client: "MlflowClient", experiment: str, cells: list[str], config: str) -> dict[str, str]:
    """Return paths on the server by what they show: all runs; a finished train run of each cell compared, and curves.

    A cell's run is the newest of the configuration with the digest `config`; where that has none, the newest of all.
    """
    found = {"all runs": experiment_link(experiment)}
    newest = {}
    for cell in cells:
        wanted = {"stage": "train", "cell": cell}
        run = newest_finished(client, experiment, {**wanted, CONFIG: config})
        if run := run or newest_finished(client, experiment, wanted):
            newest[cell] = run.info.run_id
    if len(newest) > 1:
        names, ids = " and ".join(newest), list(newest.values())
        both = {"runs": json.dumps(ids), "experiments": json.dumps([experiment])}
        chosen = ", ".join(f"'{run_id}'" for run_id in ids)
        charts = {"compareRunsMode": "CHART", "searchFilter": f"attributes.run_id IN ({chosen})"}
        curve = {"metric": json.dumps(VALIDATION_ACCURACY), "plot_metric_keys": json.dumps([VALIDATION_ACCURACY])}
        metric = {**both, **curve, "plot_layout": "{}", "x_axis": "step"}
        found[f"{names} compared"] = f"/#/compare-runs?{_query(both)}"
        found[f"charts of {names}"] = f"{experiment_link(experiment)}&{_query(charts)}"
        found[f"{VALIDATION_ACCURACY} of {names}"] = f"/#/metric?{_query(metric)}"
    return found


def experiment_link(experiment: str) -> str:
    """Return the path to an experiment's runs, in the view for training models."""
    return f"/#/experiments/{experiment}/runs?workflowType=machine_learning"


def print_links(address: str, paths: dict[str, str]) -> None:
    """Print a line for each link."""
    for name, path in paths.items():
        print(f"  {name}: {address}{path}", flush=True)


def start_server(tracking: Tracking, port: int) -> subprocess.Popen[bytes]:
    """Start MLflow's server in a process group of its own, so that Ctrl-C reaches this process alone."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri(tracking)]
    command += ["--host", HOST, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    # By itself it also answers to the names 10.* and 192.168.*, as in 10.evil.example.
    command += ["--allowed-hosts", ",".join(f"{name}:{port}" for name in NAMES)]
    command += ["--cors-allowed-origins", f"http://{HOST}:{port}"]  # and, as always, other ports of this machine
    environment = os.environ | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # workers that nothing here uses
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "PYTHONWARNINGS": "ignore",
    }
    return subprocess.Popen(command, env=environment, start_new_session=True)


def wait_until_up(server: subprocess.Popen[bytes], port: int) -> None:
    """Return when the server, or a process that it started, listens on a port.

    Raises:
        UserError: The server ended, as it does if another program took the port meanwhile, or didn't listen in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise UserError(f"mlflow server ended with exit code {server.returncode}; its messages are above")
        process = psutil.Process(server.pid)
        for member in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):  # it ended just now
                listening = [one for one in member.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
                if port in {one.laddr.port for one in listening}:
                    return
        time.sleep(_POLL_SECONDS)
    raise UserError(f"mlflow server did not answer within {START_SECONDS} s")


def stop_server(server: subprocess.Popen[bytes]) -> None:
    """End the server and its workers."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
    server.wait()


if __name__ == "__main__":
    run_command(main)
