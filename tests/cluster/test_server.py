"""A team's tracking server on PostgreSQL, started by deploy/server.sh: its check, and a store moved to it."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import mlflow
import pytest
import requests

from seqmnist.localhost import HOST
from tests.cluster.conftest import need, need_root, running
from tests.ports import free_port
from tests.projects import ROOT, Project
from tests.servers import wait_until_up

PORT, DATABASE_PORT = 15010, 15000
USER, PASSWORD = "ann", "ann-" + secrets.token_hex(12)
SECOND = {"MLFLOW_TRACKING_USERNAME": "bob", "MLFLOW_TRACKING_PASSWORD": "bob-" + secrets.token_hex(12)}
TOKEN = secrets.token_hex(12)
ADMIN = secrets.token_hex(12)
DATABASE_PASSWORD = secrets.token_hex(12)
SECONDS = 120
CLIENTS, EPOCHS = 32, 50
CLIENT = Path(__file__).with_name("tracking_client.py")
COMMAND = (sys.executable, "-m", "seqmnist")

pytestmark = pytest.mark.timeout(540)


class Postgres:
    """PostgreSQL server on its own port, which can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (self.bin,) = list(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
        self.uri = f"postgresql://mlflow:{DATABASE_PASSWORD}@{HOST}:{DATABASE_PORT}"
        secret = folder / "password"
        secret.write_text(DATABASE_PASSWORD)
        shutil.chown(folder, "postgres")
        shutil.chown(secret, "postgres")
        options = ["--username=mlflow", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]
        self._run("initdb", "-D", str(folder / "data"), *options)

    def _run(self, program: str, *arguments: str) -> None:
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        command = [*as_postgres, str(self.bin / program), *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        options = f"-p {DATABASE_PORT} -c listen_addresses={HOST} -c unix_socket_directories='' -c max_connections=200"
        log = str(self.folder / "log")
        # Output goes to the log: a pipe would stay open as long as the server runs.
        self._run("pg_ctl", "start", "-w", "-D", str(self.folder / "data"), "-l", log, "-o", options)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self.folder / "data"))

    def create(self, name: str) -> str:
        """Make an empty database and return its address."""
        import psycopg

        with psycopg.connect(f"{self.uri}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return f"{self.uri}/{name}"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    need("setpriv")
    need_root("PostgreSQL is started as the user postgres")
    if not list(Path("/usr/lib/postgresql").glob("*/bin")):
        pytest.fail("missing: postgresql: `apt-get install postgresql` as root", pytrace=False)
    folder = Path("/tmp") / f"postgres-{secrets.token_hex(4)}"  # other users can't read pytest's folders
    folder.mkdir()
    server = Postgres(folder)
    try:
        server.start()
        yield server
    finally:
        if (folder / "data/postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder)


def settings(backend: str, folder: Path, **more: str) -> dict[str, str]:
    """Return the environment for deploy/server.sh."""
    ours = {"BACKEND": backend, "ARTIFACTS": str(folder / "artifacts"), "STATE": str(folder / "state")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    rest = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return rest | ours | {"PATH": path, "PORT": str(PORT), "WORKERS": "2", "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN} | more


@pytest.fixture(scope="module")
def server(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    log = folder / "log"
    environment = settings(postgres.create("mlflow"), folder)
    uri = f"http://{HOST}:{PORT}"
    start = [str(ROOT / "deploy/server.sh")]
    with running(start, log, lambda process: wait_until_up(process, PORT), environment):
        for user, password in ((USER, PASSWORD), SECOND.values()):
            account, create = {"username": user, "password": password}, f"{uri}/api/2.0/mlflow/users/create"
            made = requests.post(create, json=account, auth=("admin", ADMIN), timeout=SECONDS)
            assert made.ok, made.text
        yield uri
    assert (folder / "state/secret-key").stat().st_mode & 0o777 == 0o600
    assert (folder / "state/accounts.ini").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def login(server: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set the environment of a client with an account in this process, and return it."""
    account = {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    for name, value in account.items():
        monkeypatch.setenv(name, value)
    return account | {"MLFLOW_TRACKING_URI": server, "PYTHONPATH": "src"}


def check(uri: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [*COMMAND, "check-server", uri]
    everything = os.environ | {"PYTHONPATH": str(ROOT / "src")} | environment
    return subprocess.run(command, cwd=ROOT, env=everything, capture_output=True, text=True, check=False)


def runs_of(uri: str, experiment: str) -> list[Any]:
    client = mlflow.MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def test_a_server_by_deploy_passes_its_check(server: str, login: dict[str, str]) -> None:
    result = check(server, **login)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Downloading" not in result.stderr
    assert result.stdout.count("ok ") == 9
    assert "WRONG" not in result.stdout
    assert not [one for one in mlflow.MlflowClient(server).search_experiments() if "check" in one.name]


@pytest.fixture
def proxy(server: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Yield the address and certificate of a TLS proxy before the server, which takes a token for a password."""
    need("openssl")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=proxy"]
    new += ["-addext", f"subjectAltName=IP:{HOST}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(new, capture_output=True, check=True)

    class Proxy(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = dict(self.headers.items())
            if headers["Host"] == urlsplit(address).netloc:
                headers["Host"] = urlsplit(server).netloc
            named = headers.pop("Authorization", "") == f"Bearer {TOKEN}"
            login: Any = (USER, PASSWORD) if named else lambda request: request
            url = server + self.path
            answer = requests.request(self.command, url, data=body, auth=login, headers=headers, timeout=SECONDS)
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  (their names are http.server's)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer((HOST, 0), Proxy) as listening:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        address = f"https://{HOST}:{listening.server_port}"
        Thread(target=listening.serve_forever).start()
        yield address, certificate
        listening.shutdown()


def test_the_check_takes_a_token_and_a_team_s_own_certificate(proxy: tuple[str, Path], tmp_path: Path) -> None:
    uri, certificate = proxy
    client = {
        "MLFLOW_TRACKING_TOKEN": TOKEN,
        "MLFLOW_TRACKING_SERVER_CERT_PATH": str(certificate),
        "HOME": str(tmp_path),
    }
    result = check(uri, **client)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("ok ") == 9

    unknown = check(uri, MLFLOW_TRACKING_TOKEN=TOKEN, HOME=str(tmp_path))
    assert unknown.returncode == 1
    assert "Traceback" not in unknown.stderr
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in unknown.stderr


@pytest.mark.parametrize(
    ("account", "remedy"),
    [
        ({"MLFLOW_TRACKING_PASSWORD": "no"}, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        ({}, "set MLFLOW_TRACKING_USERNAME"),
    ],
)
def test_a_wrong_or_missing_password_gives_one_line(
    project: Project, server: str, account: dict[str, str], remedy: str, tmp_path: Path
) -> None:
    user = {"MLFLOW_TRACKING_USERNAME": USER} if account else {}
    environment = {"MLFLOW_TRACKING_URI": server, "PYTHONPATH": "src", "HOME": str(tmp_path)}
    result = project.run(*COMMAND, "sync", **environment, **account, **user)
    assert result.code == 1
    assert "Traceback" not in result.output
    (line,) = result.output.splitlines()
    assert remedy in line
    assert server in line


@pytest.mark.timeout(400)
def test_32_concurrent_trials_lose_nothing(
    server: str, login: dict[str, str], project: Project, tmp_path: Path
) -> None:
    mlflow.MlflowClient(server).create_experiment("load")
    environment = project.environment | login | {"PYTHONPATH": str(ROOT / "src"), "DVC_ROOT": str(project.root)}
    environment["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "30"  # as docs/scale-server.md says for many trials on a small server
    started = time.monotonic()
    command = [sys.executable, str(CLIENT), "load", str(EPOCHS)]
    clients = []
    for number in range(CLIENTS):
        with (tmp_path / f"{number}.log").open("wb") as log:
            clients.append(
                subprocess.Popen([*command, str(number)], cwd=project.root, env=environment, stdout=log, stderr=log)
            )
    codes = [client.wait() for client in clients]
    seconds = time.monotonic() - started
    logs = [(tmp_path / f"{number}.log").read_text() for number in range(CLIENTS)]
    assert codes == [0] * CLIENTS, "\n".join(logs)
    spans = [json.loads(log.splitlines()[-1]) for log in logs]
    busy = max(span["end"] for span in spans) - min(span["start"] for span in spans)
    points = CLIENTS * EPOCHS * 5
    slowest = max(span["slowest"] for span in spans)
    print(
        f"\n{CLIENTS} clients: {points / busy:.0f} metrics/s, {CLIENTS / busy * 60:.0f} runs/min over {busy:.0f} s"
        f" ({seconds:.0f} s with imports); slowest call {slowest:.2f} s"
    )
    assert not [log for log in logs if "is away" in log]

    runs = runs_of(server, "load")
    client = mlflow.MlflowClient(server)
    assert len(runs) == CLIENTS
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sorted(int(run.data.params["number"]) for run in runs) == list(range(CLIENTS))
    for run in runs:
        number = int(run.data.params["number"])
        for index in range(5):
            history = client.get_metric_history(run.info.run_id, f"m{index}")
            expected = [(epoch, number + epoch / 7 + index) for epoch in range(EPOCHS)]
            assert sorted((point.step, point.value) for point in history) == expected
        (artifact,) = (one for one in client.list_artifacts(run.info.run_id) if one.path == "big.bin")
        assert artifact.file_size == 1_000_000


def test_a_sweep_logs_into_it(server: str, login: dict[str, str], project: Project) -> None:
    values = ("cell=rnn", "seed=1,2,3,4", "train.epochs=2")
    done = project.succeed("python", "-m", "seqmnist.sweep", "-m", "hydra.sweep.dir=sweeps/one", *values, **login)
    assert f"the trials are in sweeps/one; {server} shows them" in done.output
    runs = runs_of(server, "seqmnist-sweeps")
    assert len(runs) == 5
    assert {run.info.user_id for run in runs} == {USER}
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_second_account_logs_into_the_first_one_s_experiment(
    server: str, login: dict[str, str], project: Project
) -> None:
    first = {run.info.run_id for run in runs_of(server, "seqmnist-sweeps")}
    assert first
    second = login | SECOND
    values = ("cell=rnn", "seed=5,6", "train.epochs=1")
    project.succeed("python", "-m", "seqmnist.sweep", "-m", "hydra.sweep.dir=sweeps/two", *values, **second)
    added = [run for run in runs_of(server, "seqmnist-sweeps") if run.info.run_id not in first]
    assert [run.info.status for run in added] == ["FINISHED"] * 3

    # Only the experiment's owner may delete in it, so the parent run of a sweep without trials stays.
    refused = project.run(
        "python", "-m", "seqmnist.sweep", "-m", "hydra.sweep.dir=sweeps/three", "train.epochs=0", **second
    )
    assert refused.code != 0
    assert "Traceback" not in refused.output
    assert "train.epochs = 0" in refused.output
    assert "RUNNING" not in {run.info.status for run in runs_of(server, "seqmnist-sweeps")}


def test_a_pipeline_goes_on_while_the_database_is_stopped(
    postgres: Postgres, server: str, login: dict[str, str], unrun: Project, reproduced: Project
) -> None:
    lines = []
    with unrun.start("dvc", "repro", **login) as process:
        assert process.stdout
        for line in process.stdout:
            lines.append(line)
            if "train@rnn  0/1" in line:
                postgres.stop()
                break
        rest, _ = process.communicate()
    postgres.start()
    output = "".join(lines) + rest
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert "is away (it answers 50" in output or "is away (no answer in time)" in output
    assert unrun.output_hashes() == reproduced.output_hashes()

    unrun.succeed(*COMMAND, "sync", **login)
    runs = runs_of(server, "seqmnist")
    assert {run.info.status for run in runs} == {"FINISHED"}
    (again,) = unrun.succeed(*COMMAND, "sync", **login).output.splitlines()
    assert again.startswith("champion of seqmnist-tiny: version ")
    assert len(runs_of(server, "seqmnist")) == len(runs) == 5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"MLFLOW_AUTH_ADMIN_PASSWORD": ""}, "set it to a password"),
        ({"MLFLOW_AUTH_ADMIN_PASSWORD": "short"}, "must have 16"),
        ({"MLFLOW_AUTH_ADMIN_PASSWORD": "password1234password"}, "is a known one"),
        ({"BACKEND": "sqlite:///mlflow.db"}, "BACKEND must be postgresql://"),
        ({"ARTIFACTS": "here"}, "ARTIFACTS must be"),
        ({"STATE": ""}, "STATE must be"),
        ({}, "error: BACKEND: connection failed: "),
        ({"PORT": "http"}, f"error: HOST and PORT, {HOST} and http, can not be listened on: invalid literal"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_the_script_refuses(change: dict[str, str], told: str, tmp_path: Path) -> None:
    assert told in refusal(tmp_path, **{"PORT": str(free_port())} | change)


def test_the_script_refuses_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        told = refusal(tmp_path, PORT=str(port))
    assert f"error: HOST and PORT, {HOST} and {port}, can not be listened on: [Errno 98] Address already in use" in told


def refusal(folder: Path, **change: str) -> str:
    """Return the output of the script when it refuses to start a server."""
    environment = settings(f"postgresql://nobody@{HOST}:1/none", folder, **change)
    command = [str(ROOT / "deploy/server.sh")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ([], ["who has no account is refused", "requests with a foreign Host are refused"]),
        (["--no-serve-artifacts", "--default-artifact-root", "ROOT"], ["artifacts go by way of the server"]),
        (["--cors-allowed-origins", "*"], ["requests with a foreign Origin are refused"]),
    ],
    ids=["no-accounts", "no-proxy", "any-origin"],
)
def test_the_check_finds_a_mistake(options: list[str], wrong: list[str], tmp_path: Path) -> None:
    port = PORT + 10
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    command += [str(tmp_path / "files") if one == "ROOT" else one for one in options]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    uri, log = f"http://{HOST}:{port}", tmp_path / "log"
    with running(command, log, lambda process: wait_until_up(process, port), environment, tmp_path):
        result = check(uri)
    assert result.returncode == 1
    found = [line.removeprefix("WRONG").strip() for line in result.stdout.splitlines() if line.startswith("WRONG")]
    for one in wrong:
        assert [line for line in found if line.startswith(one)], result.stdout + result.stderr


@pytest.mark.parametrize("rest", ["host:port/name", "[host/name"])
def test_an_unreadable_address_is_shown_without_its_password(rest: str, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    command = [*COMMAND, "move-store", f"postgresql://ann:secret@{rest}", str(tmp_path / "artifacts")]
    everything = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(command, cwd=tmp_path, env=everything, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    (line,) = (result.stdout + result.stderr).splitlines()
    assert line.startswith("error: move-store: DATABASE can't be read as postgresql://USER:PASSWORD@HOST:PORT/NAME")
    assert "secret" not in line
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


@pytest.mark.timeout(400)
def test_a_store_is_moved(postgres: Postgres, project: Project, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": "src"}
    project.succeed(*COMMAND, "sync", **environment)
    sweep = ("hydra.sweep.dir=sweeps/one", "cell=rnn", "seed=1,2", "train.epochs=1")
    project.succeed("python", "-m", "seqmnist.sweep", "-m", *sweep, **environment)
    before = (project.root / "mlflow.db").read_bytes()
    backend, artifacts = postgres.create("moved"), tmp_path / "artifacts"
    move = (*COMMAND, "move-store", backend, str(artifacts))

    absent = project.run(*COMMAND, "move-store", f"postgresql://nobody@{HOST}:1/none", str(artifacts), **environment)
    assert absent.code == 1
    (line,) = absent.output.splitlines()
    assert "connection failed" in line

    # A move that was killed can be run again.
    with project.start(*move, **environment) as process:
        deadline = time.monotonic() + SECONDS
        while not artifacts.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it was over before it was killed"
    started = time.monotonic()
    output = project.succeed(*move, **environment).output
    print(f"\nmoved in {time.monotonic() - started:.1f} s\n{output}")
    assert re.search(r"^runs: 8 rows, 8 moved$", output, re.MULTILINE)
    assert (project.root / "mlflow.db").read_bytes() == before
    files = sum(path.is_file() for path in (project.root / "mlartifacts").rglob("*"))
    assert f"artifacts: {files} files, {files} moved" in output
    assert sum(path.is_file() for path in artifacts.rglob("*")) == files
    refused = project.run(*move, **environment)
    assert refused.code == 1
    assert refused.output.splitlines()[-1].endswith(" already, perhaps deleted ones: give an empty database")

    old = mlflow.MlflowClient(f"sqlite:///{project.root}/mlflow.db")
    port, log = PORT + 20, tmp_path / "log"
    uri = f"http://{HOST}:{port}"
    start = settings(backend, tmp_path, PORT=str(port), ARTIFACTS=str(artifacts))
    with (
        running([str(ROOT / "deploy/server.sh")], log, lambda process: wait_until_up(process, port), start),
        pytest.MonkeyPatch.context() as patch,
    ):
        login = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": ADMIN, "MLFLOW_TRACKING_URI": uri}
        for name, value in login.items():
            patch.setenv(name, value)
        (line,) = project.succeed(*COMMAND, "sync", **environment, **login).output.splitlines()
        assert line.startswith("champion of seqmnist-tiny: version ")
        client = mlflow.MlflowClient(uri)
        for experiment in ("seqmnist", "seqmnist-sweeps"):
            number = old.get_experiment_by_name(experiment).experiment_id
            here = {run.info.run_id: run.data for run in old.search_runs([number])}
            there = {run.info.run_id: run.data for run in runs_of(uri, experiment)}
            assert {key: one.to_dictionary() for key, one in there.items()} == {
                key: one.to_dictionary() for key, one in here.items()
            }
            for key, data in here.items():
                for name in data.metrics:
                    points = [[(p.step, p.value) for p in one.get_metric_history(key, name)] for one in (old, client)]
                    assert sorted(points[0]) == sorted(points[1])
        champion = client.get_model_version_by_alias("seqmnist-tiny", "champion")
        assert int(champion.version) == int(old.get_model_version_by_alias("seqmnist-tiny", "champion").version)
        script = "import mlflow; print(mlflow.keras.load_model('models:/seqmnist-tiny@champion').count_params())"
        assert int(project.succeed("python", "-c", script, **login).output.splitlines()[-1]) > 0
        client.create_run(client.create_experiment("after"), run_name="after")  # the sequences of ids continue
