import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from accord.settings import Tracking
from accord.tracking.store import open_store
from seqmnist import ui
from seqmnist.localhost import HOST
from tests.conftest import STORE_VARIABLES
from tests.projects import ROOT

if TYPE_CHECKING:
    from mlflow import MlflowClient

AddRun = Callable[..., str]


@pytest.fixture
def client_and_experiment(tracking: Tracking) -> tuple["MlflowClient", str]:
    """An experiment without runs."""
    return open_store(tracking)


@pytest.fixture
def add_run(client_and_experiment: tuple["MlflowClient", str]) -> AddRun:
    """Adds runs, each a second after the one before."""
    client, experiment = client_and_experiment
    starts = iter(range(1_000_000, 2_000_000, 1_000))

    def add(cell: str, status: str = "FINISHED", stage: str = "train") -> str:
        run = client.create_run(experiment, next(starts), {"stage": stage, "cell": cell})
        if status != "RUNNING":
            client.set_terminated(run.info.run_id, status)
        return str(run.info.run_id)

    return add


def compared(link: str) -> dict[str, list[str]]:
    """The lists of ids that MLflow's page reads from a link to it."""
    route, _, query = link.removeprefix("/#/").partition("?")
    assert route == "compare-runs"
    return {key: json.loads(value) for key, value in urllib.parse.parse_qsl(query, strict_parsing=True)}


def test_links_lead_to_all_runs_and_to_the_cells_compared(
    client_and_experiment: tuple["MlflowClient", str], add_run: AddRun
) -> None:
    client, experiment = client_and_experiment
    rnn, lstm = add_run("rnn"), add_run("lstm")

    links = ui.links(client, experiment, ["rnn", "another", "lstm"], "")

    assert list(links) == [
        "all runs",
        "rnn and lstm compared",
        "charts of rnn and lstm",
        "val.accuracy of rnn and lstm",
    ], "a cell without a run is not named"
    assert f'runs=["{rnn}", "{lstm}"]' in urllib.parse.unquote(links["val.accuracy of rnn and lstm"])
    assert f"'{rnn}', '{lstm}'" in urllib.parse.unquote(links["charts of rnn and lstm"])
    assert links["all runs"] == f"/#/experiments/{experiment}/runs?workflowType=machine_learning"
    assert compared(links["rnn and lstm compared"]) == {"runs": [rnn, lstm], "experiments": [experiment]}


def test_the_newest_run_of_each_cell_is_compared(
    client_and_experiment: tuple["MlflowClient", str], add_run: AddRun
) -> None:
    client, experiment = client_and_experiment
    for cell in ("rnn", "lstm", "rnn"):
        add_run(cell)
    lstm, rnn = add_run("lstm"), add_run("rnn")

    links = ui.links(client, experiment, ["rnn", "lstm"], "")

    assert compared(links["rnn and lstm compared"])["runs"] == [rnn, lstm]


@pytest.mark.parametrize(
    ("status", "stage"),
    [("FAILED", "train"), ("KILLED", "train"), ("RUNNING", "train"), ("FINISHED", "evaluate")],
    ids=["failed", "killed", "running", "other stage"],
)
def test_only_finished_trainings_are_compared(
    client_and_experiment: tuple["MlflowClient", str], add_run: AddRun, status: str, stage: str
) -> None:
    client, experiment = client_and_experiment
    rnn, lstm = add_run("rnn"), add_run("lstm")
    add_run("rnn", status, stage)

    links = ui.links(client, experiment, ["rnn", "lstm"], "")

    assert compared(links["rnn and lstm compared"])["runs"] == [rnn, lstm]


def test_a_cell_without_a_run_leaves_nothing_to_compare(
    client_and_experiment: tuple["MlflowClient", str], add_run: AddRun
) -> None:
    client, experiment = client_and_experiment
    add_run("rnn")
    add_run("rnn")

    assert list(ui.links(client, experiment, ["rnn", "lstm"], "")) == ["all runs"]


def test_runs_of_another_experiment_are_not_compared(
    client_and_experiment: tuple["MlflowClient", str], add_run: AddRun
) -> None:
    client, _ = client_and_experiment
    add_run("rnn")
    add_run("lstm")
    _, other = open_store(Tracking(uri=None, experiment="other than the runs'"))

    assert list(ui.links(client, other, ["rnn", "lstm"], "")) == ["all runs"]


def test_link_lines_show_complete_addresses() -> None:
    lines = ui.link_lines("http://127.0.0.1:5000", {"all runs": "/#/experiments/1", "compared": "/#/compare-runs"})

    assert lines == (
        "  all runs: http://127.0.0.1:5000/#/experiments/1\n  compared: http://127.0.0.1:5000/#/compare-runs"
    )


SERVE = """
import sys
from seqmnist import ui
from seqmnist.localhost import listener, serve

listening = listener(0)
serve(ui.application(sys.argv[1], listening.getsockname()[1]), listening, "{address}")
"""


@pytest.fixture(scope="module")
def mlflow_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of MLflow's page in another process, with a store of its own."""
    store = tmp_path_factory.mktemp("ui") / "mlflow.db"
    command = [sys.executable, "-c", SERVE, f"sqlite:///{store}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=store.parent) as server:
        assert server.stdout
        yield int(server.stdout.readline().rpartition(":")[2])
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0


def status(port: int, method: str = "GET", **headers: str) -> int:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    try:
        path = "/ajax-api/2.0/mlflow/experiments/create" if method == "POST" else "/"
        content = json.dumps({"name": str(headers)}) if method == "POST" else None
        connection.request(method, path, content, {"Content-Type": "application/json", **headers})
        return connection.getresponse().status
    finally:
        connection.close()


def test_mlflow_answers_to_this_machine_s_names_alone(mlflow_port: int) -> None:
    for name in ("127.0.0.1", "localhost"):
        assert status(mlflow_port, Host=f"{name}:{mlflow_port}") == 200
    for name in ("evil.example", "10.evil.example", "192.168.1.1"):
        assert status(mlflow_port, Host=f"{name}:{mlflow_port}") == 403


def test_a_page_of_another_site_changes_nothing_in_mlflow(mlflow_port: int) -> None:
    assert status(mlflow_port, "POST", Origin=f"http://127.0.0.1:{mlflow_port}") == 200
    assert status(mlflow_port, "POST", Origin="https://evil.example") == 403
    assert status(mlflow_port, "POST", Origin="null") == 403


HOSTILE = {
    "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true",
    "MLFLOW_SERVER_X_FRAME_OPTIONS": "NONE",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "perhaps",
    "MLFLOW_ENABLE_WORKSPACES": "true",
    "MLFLOW_LOGGING_LEVEL": "loud",
    "MLFLOW_CONFIGURE_LOGGING": "perhaps",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "soon",
    "MLFLOW_REGISTRY_URI": "http://127.0.0.1:1",
    "_MLFLOW_STATIC_PREFIX": "/elsewhere",
    "_MLFLOW_SERVER_ARTIFACTS_ONLY": "true",
    "_MLFLOW_SERVER_REGISTRY_STORE": "http://127.0.0.1:1",
    "_MLFLOW_SERVER_READ_REPLICA_BACKEND_STORE": "sqlite:////nowhere/mlflow.db",
    "prometheus_multiproc_dir": "/nowhere",
    "FLASK_DEBUG": "1",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
    "FORWARDED_ALLOW_IPS": "*",
    "WEB_CONCURRENCY": "many",
}


def test_options_for_other_servers_have_no_effect(tmp_path: Path) -> None:
    """The real command, in a project of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in STORE_VARIABLES}
    environment |= HOSTILE | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    command = [sys.executable, "-m", "seqmnist.ui"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as server:
        try:
            assert server.stdout
            first, *_ = takewhile("Ctrl-C ends it.\n".__ne__, server.stdout)
            port = int(first.rpartition(":")[2].removesuffix(" ...\n"))
            assert status(port) == 200
            assert status(port, "POST", Origin=f"http://127.0.0.1:{port}") == 200
            assert status(port, "POST", Origin="https://evil.example") == 403
            assert status(port, Host=f"evil.example:{port}") == 403
            server.send_signal(signal.SIGINT)
            assert server.wait(timeout=30) == 0
        finally:
            server.kill()


def test_variables_that_reach_artifacts_and_databases_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    reaches = {"MLFLOW_S3_ENDPOINT_URL": "a", "MLFLOW_MYSQL_SSL_CA": "b", "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "3"}
    others = {"AWS_ACCESS_KEY_ID": "c", "HOME": "/"}
    monkeypatch.setattr(os, "environ", {**HOSTILE, **reaches, **others})
    ui._remove_options()
    kept_for_uvicorn = {name: HOSTILE[name] for name in ("FORWARDED_ALLOW_IPS", "WEB_CONCURRENCY")}  # never read
    assert os.environ == reaches | others | kept_for_uvicorn
