"""Serve MLflow's web page on this machine, and print links to the runs: `make ui`."""

import json
import os
import re
import warnings
from functools import partial
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, urlencode

from accord.files import sha256_file
from accord.paths import PARAMS
from accord.process import run_command
from accord.tracking.connection import is_server
from accord.tracking.restore import newest_finished
from accord.tracking.run_tags import CONFIG
from accord.tracking.store import open_store, tracking_uri
from seqmnist import config
from seqmnist.localhost import HOST, NAMES, listener, serve
from seqmnist.metric_names import VALIDATION_ACCURACY

if TYPE_CHECKING:
    from fastapi import FastAPI
    from mlflow import MlflowClient

_FIRST_PORT = 5000
# Environment variables from which MLflow, Flask and OpenTelemetry read server options.
_OPTIONS = re.compile(r"_?MLFLOW_.*|FLASK_.*|OTEL_.*|prometheus_multiproc_dir", re.DOTALL)
# Variables to keep: they give access to artifact stores and databases.
_REACHES = re.compile(
    r"MLFLOW_(TRACKING_URI|(S3|EXPERIMENTAL_S3|BOTO|GCS|KERBEROS|PYARROW|MYSQL_SSL|SQLALCHEMYSTORE)_.*)"
)
_query = partial(urlencode, quote_via=quote)


def main() -> None:
    """Print the links, and serve until Ctrl-C."""
    configuration = config.load()
    uri = tracking_uri(configuration.tracking)
    if not is_server(uri):
        _remove_options()
    client, experiment = open_store(configuration.tracking)
    found = links(client, experiment, list(configuration.cells), sha256_file(PARAMS))
    if sweeps := client.get_experiment_by_name(f"{configuration.tracking.experiment}-sweeps"):
        found["sweeps"] = experiment_link(sweeps.experiment_id)
    if is_server(uri):
        print(link_lines(uri.rstrip("/"), found))
        return
    listening = listener(_FIRST_PORT)
    port = listening.getsockname()[1]
    print(f"starting MLflow on {HOST}:{port} ...", flush=True)
    serve(application(uri, port), listening, link_lines("{address}", found))


def links(client: "MlflowClient", experiment: str, cells: list[str], config: str) -> dict[str, str]:
    """Return link names and their paths on the server: all runs, a comparison of the cells, and their curves.

    Each cell is represented by its newest finished train run with the configuration digest `config`. If there is
    none, its newest finished train run of any configuration is used.
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


def link_lines(address: str, paths: dict[str, str]) -> str:
    """Return one line of text for each link."""
    return "\n".join(f"  {name}: {address}{path}" for name, path in paths.items())


def _remove_options() -> None:
    """Remove variables set for other servers: some admit pages of other sites, and some make MLflow fail."""
    for name in [name for name in os.environ if _OPTIONS.fullmatch(name) and not _REACHES.fullmatch(name)]:
        del os.environ[name]


def application(uri: str, port: int) -> "FastAPI":
    """Return MLflow's web application for a store, configured as `mlflow server` does it, for one port."""
    _remove_options()
    os.environ |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # nothing here uses these workers
        # MLflow's default also allows host names like 10.* and 192.168.*, which match 10.evil.example.
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(f"{name}:{port}" for name in NAMES),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port}",  # MLflow always adds this machine's other ports
        # `mlflow server` would pass these to its worker. It accepts no open socket, so the port could be taken.
        "_MLFLOW_SERVER_FILE_STORE": uri,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": "./mlartifacts",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    }
    warnings.simplefilter("ignore")
    from mlflow.server.fastapi_app import app

    return cast("FastAPI", app)


if __name__ == "__main__":
    run_command(main)
