"""A team's server on PostgreSQL: what it keeps, what it refuses, and what becomes of a local store."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import mlflow
import psycopg
import pytest

from tests.cluster.servers import (
    ADMIN_PASSWORD,
    DATABASE_PASSWORD,
    Database,
    bare_server,
    initialised,
    login,
    team_server,
)
from tests.cluster.trial_client import BYTES, EPOCHS, METRICS

pytestmark = pytest.mark.timeout(400)
CLIENT = Path(__file__).with_name("trial_client.py")
CLIENTS = 32
_OF_CLIENT = "registered_model_meta"  # which MLflow's client writes when it downloads a model
CHECK = ("python", "-m", "seqmnist", "check-server")
SYNC = ("python", "-m", "seqmnist", "sync")
MOVE = ("python", "-m", "seqmnist", "move-store")


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with initialised() as found, found.run():
        yield found


@pytest.fixture(scope="module")
def server(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with team_server(database.create("team"), tmp_path_factory.mktemp("server")) as uri:
        yield uri


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes clients of servers with admin's name and password."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN_PASSWORD)
    return mlflow.MlflowClient


def runs(client: Any, experiment: str) -> list[Any]:
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id], max_results=1000)) if found else []


def test_a_server_by_deploy_has_none_of_the_usual_mistakes(reproduced: Any, server: str, client: Any) -> None:
    output = reproduced.succeed(*CHECK, **login(server)).output

    assert [line.partition(":")[0] for line in output.splitlines()] == ["ok"] * 6
    assert [one for one in client(server).search_experiments() if "check-server" in one.name] == []


def test_each_mistake_of_a_server_is_named(reproduced: Any, tmp_path: Path) -> None:
    options = ["--no-serve-artifacts", "--default-artifact-root", str(tmp_path / "artifacts")]
    options += ["--allowed-hosts", "*", "--cors-allowed-origins", "*"]
    with bare_server(tmp_path, *options) as uri:
        result = reproduced.run(*CHECK, **login(uri))

    problems = [line for line in result.output.splitlines() if line.startswith("problem: ")]
    assert result.code == 1
    assert [line.rpartition("--")[2] for line in problems] == [
        "app-name basic-auth",
        "allowed-hosts",
        "cors-allowed-origins",
        "artifacts-destination",
    ]
    assert result.output.splitlines()[-1] == f"error: {uri}: 4 of 6 things are wrong"


@pytest.mark.parametrize("command", [CHECK, SYNC, ("python", "-m", "seqmnist.sweep", "-m", "cell=rnn")])
def test_a_wrong_password_is_one_line_that_says_what_to_set(
    reproduced: Any, server: str, command: tuple[str, ...]
) -> None:
    result = reproduced.run(*command, **login(server, "another password"))

    assert result.code == 1
    (line,) = result.output.splitlines()
    assert line.startswith(f"error: tracking: the MLflow store {server} can't be used: error code 401: ")
    assert line.endswith("set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")


def test_a_wrong_password_of_the_database_is_one_line(project: Any, database: Database) -> None:
    environment = {"DATABASE_URI": database.uri("team"), "PGPASSWORD": "another password"}
    script = Path(__file__).parents[2] / "deploy/server.sh"

    result = project.run(str(script), **environment, MLFLOW_AUTH_ADMIN_PASSWORD=ADMIN_PASSWORD)

    assert result.code == 1
    (line,) = result.output.splitlines()
    assert 'password authentication failed for user "mlflow"' in line


def test_32_trials_at_once_lose_no_metric(project: Any, server: str, client: Any) -> None:
    started = time.monotonic()
    processes = [project.start("python", str(CLIENT), str(n), **login(server)) for n in range(CLIENTS)]
    outputs = [process.communicate()[0] for process in processes]
    seconds = time.monotonic() - started

    assert [process.returncode for process in processes] == [0] * CLIENTS, outputs
    found = {int(run.data.tags["number"]): run for run in runs(client(server), "seqmnist") if "number" in run.data.tags}
    assert sorted(found) == list(range(CLIENTS))
    for number, run in found.items():
        assert (run.info.status, run.data.tags["done"]) == ("FINISHED", "yes")
        for name in METRICS:
            points = client(server).get_metric_history(run.info.run_id, name)
            assert [(point.step, point.value) for point in points] == [(n, number + n / EPOCHS) for n in range(EPOCHS)]
        (file,) = [one for one in client(server).list_artifacts(run.info.run_id) if one.path.endswith(".bin")]
        assert file.file_size == BYTES
    values = CLIENTS * EPOCHS * len(METRICS)
    print(f"{CLIENTS} trials in {seconds:.0f} s: {values / seconds:.0f} metrics a second, {CLIENTS * EPOCHS} requests")


def test_a_sweep_logs_to_the_server(project: Any, server: str, client: Any) -> None:
    project.succeed("python", "-m", "seqmnist.sweep", "-m", "tracking=server", "cell=rnn", "seed=1,2", **login(server))

    found = runs(client(server), "seqmnist-sweeps")
    assert {run.info.status for run in found} == {"FINISHED"}
    assert sum("mlflow.parentRunId" in run.data.tags for run in found) == 2


def test_training_goes_on_without_the_database_and_sync_completes_it(
    unrun: Any, reproduced: Any, tmp_path: Path, client: Any
) -> None:
    with initialised() as database, ExitStack() as servers:
        power = servers.enter_context(ExitStack())
        power.enter_context(database.run())
        uri = servers.enter_context(team_server(database.create("away"), tmp_path))
        process = unrun.start("dvc", "repro", **login(uri))
        printed = read_until(process, "train@rnn  0/1")
        power.close()
        printed += process.communicate()[0]

        assert process.returncode == 0, printed
        assert "train@rnn: the tracking server " in printed
        assert unrun.output_hashes() == reproduced.output_hashes()

        power.enter_context(database.run())
        assert "train@rnn: completed in MLflow" in unrun.succeed(*SYNC, **login(uri)).output
        found = {run.info.run_name: run for run in runs(client(uri), "seqmnist")}
        assert len(found) == len(runs(client(uri), "seqmnist")) == 5
        assert {run.info.status for run in found.values()} == {"FINISHED"}


def read_until(process: Any, shown: str) -> str:
    """What a command prints up to the first line with a text."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if shown in line:
            break
    return "".join(lines)


def test_a_local_store_is_moved_whole(project: Any, database: Database, tmp_path: Path, client: Any) -> None:
    project.succeed(*SYNC, PYTHONPATH="src")  # a copied project has no store: this makes one with a champion
    project.succeed("python", "-m", "seqmnist.sweep", "-m", "cell=rnn", "seed=1", PYTHONPATH="src")
    local = mlflow.MlflowClient(f"sqlite:///{project.root}/mlflow.db")
    uri, artifacts = database.create("moved"), tmp_path / "artifacts"
    move = (*MOVE, uri, str(artifacts))

    output = project.succeed(*move, PYTHONPATH="src", PGPASSWORD=DATABASE_PASSWORD).output

    counts = re.findall(r"^(\w+): ([\d,]+) \w+ here, ([\d,]+) there$", output, re.MULTILINE)
    assert all(before == after for _, before, after in counts), output
    kept = {name: before for name, before, _ in counts}
    assert kept["runs"] == "7"
    assert kept["artifacts"] == str(sum(path.is_file() for path in (project.root / "mlartifacts").rglob("*")))
    with team_server(uri, tmp_path, ARTIFACTS=str(artifacts)) as address:
        there = client(address)
        for experiment in ("seqmnist", "seqmnist-sweeps"):
            before, after = runs(local, experiment), runs(there, experiment)
            assert [run.info.run_id for run in after] == [run.info.run_id for run in before]
            assert [run.data.to_dictionary() for run in after] == [run.data.to_dictionary() for run in before]
        synced = project.succeed(*SYNC, **login(address)).output
        assert synced.splitlines()[-1].startswith("champion of seqmnist-tiny: version 1")
        assert len(runs(there, "seqmnist")) == 5, "the runs were found, none was made"
        here = champion(f"sqlite:///{project.root}/mlflow.db", tmp_path / "here")
        assert champion(address, tmp_path / "there") == here
        project.succeed("python", "-m", "seqmnist.sweep", "-m", "cell=rnn", "seed=2", **login(address))
        assert len(runs(there, "seqmnist-sweeps")) == 4, "new rows get new numbers"
    refused = project.run(*move, PYTHONPATH="src", PGPASSWORD=DATABASE_PASSWORD)
    assert (refused.code, refused.output.splitlines()) == (
        1,
        [f"error: {uri} has 9 runs already: only an empty database is filled"],
    )


def test_a_move_that_is_killed_is_done_again(project: Any, database: Database, tmp_path: Path) -> None:
    project.succeed(*SYNC, PYTHONPATH="src")
    uri = database.create("killed")
    move = (*MOVE, uri, str(tmp_path / "artifacts"))
    environment = {"PYTHONPATH": "src", "PGPASSWORD": DATABASE_PASSWORD}
    # A transaction of another user keeps a table that the move writes: it is killed in the middle of its own.
    project.succeed("mlflow", "db", "upgrade", uri, **environment)
    with psycopg.connect(uri, password=DATABASE_PASSWORD) as other:
        other.execute("LOCK TABLE tags")
        process = project.start(*move, **environment)
        read_until(process, "artifacts: ")
        wait_for_lock(other)
        process.kill()
        process.communicate()

    assert "runs: 5 rows here, 5 there" in project.succeed(*move, **environment).output


def wait_for_lock(connection: Any) -> None:
    """Return when someone waits for a table that this connection has locked."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    while not connection.execute(waiting).fetchone()[0]:
        time.sleep(0.05)  # the test's time-out ends it


@pytest.mark.parametrize(
    ("database_uri", "environment", "told"),
    [
        ("mysql://somewhere/mlflow", {}, "it must begin with postgresql://"),
        ("postgresql://mlflow@127.0.0.1:1/mlflow", {}, "can't be used: "),
        ("postgresql://mlflow@127.0.0.1:1/mlflow", {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}, "no local store"),
    ],
)
def test_what_cannot_be_moved_is_one_line(
    project: Any, tmp_path: Path, database_uri: str, environment: dict[str, str], told: str
) -> None:
    (project.root / "mlflow.db").touch()

    result = project.run(*MOVE, database_uri, str(tmp_path / "artifacts"), PYTHONPATH="src", **environment)

    assert result.code == 1
    (line,) = result.output.splitlines()
    assert line.startswith("error: ")
    assert told in line
    assert not (tmp_path / "artifacts").exists()


def champion(uri: str, folder: Path) -> dict[str, bytes]:
    """The files of the best model."""
    mlflow.set_tracking_uri(uri)
    folder.mkdir()
    try:
        path = Path(mlflow.artifacts.download_artifacts("models:/seqmnist-tiny@champion", dst_path=str(folder)))
    finally:
        mlflow.set_tracking_uri(None)
    files = [file for file in path.rglob("*") if file.is_file() and file.name != _OF_CLIENT]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}
