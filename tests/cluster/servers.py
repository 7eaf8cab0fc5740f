"""PostgreSQL and MLflow's server on this machine, in folders of their own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from seqmnist.local import HOST, free_port
from seqmnist.tracking.ui import wait_until_up
from tests.cluster.conftest import running

ROOT = Path(__file__).parents[2]
USER, DATABASE_PASSWORD, ADMIN_PASSWORD = "mlflow", "of the database", "of the user admin"
_PATIENCE = 60  # seconds


@dataclass(frozen=True)
class Database:
    """A cluster of databases, which runs as long as `run` says."""

    folder: Path
    port: int

    def uri(self, name: str) -> str:
        return f"postgresql://{USER}@{HOST}:{self.port}/{name}"

    def create(self, name: str) -> str:
        """Make an empty database; its URI."""
        with psycopg.connect(self.uri("postgres"), password=DATABASE_PASSWORD, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.uri(name)

    @contextmanager
    def run(self) -> Iterator[None]:
        command = [*_as_postgres(), program("postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder)]
        command += ["-h", HOST, "-p", str(self.port)]
        # SIGTERM would wait for all who are connected to leave.
        with running(command, self.folder / "log", self._wait, end_by=signal.SIGINT):
            yield

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(self.uri("postgres"), password=DATABASE_PASSWORD).close()
            except psycopg.OperationalError:
                assert process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            else:
                return


@contextmanager
def initialised() -> Iterator[Database]:
    """An initialised database cluster that asks for passwords. PostgreSQL refuses to run as root."""
    folder = Path(tempfile.mkdtemp(prefix="postgres"))
    try:
        (folder / "password").write_text(DATABASE_PASSWORD)
        if _as_postgres():
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        command = [program("initdb"), "--auth=scram-sha-256", f"--username={USER}", "--encoding=UTF8"]
        command += [f"--pwfile={folder / 'password'}", "-D", str(folder / "data")]
        subprocess.run([*_as_postgres(), *command], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        yield Database(folder, free_port(15_100))
    finally:
        shutil.rmtree(folder)


@contextmanager
def team_server(database: str, folder: Path, **environment: str) -> Iterator[str]:
    """A server as deploy/server.sh starts it; its URI."""
    port = free_port(15_200)
    values = {"DATABASE_URI": database, "PGPASSWORD": DATABASE_PASSWORD, "PORT": str(port), "WORKERS": "2"}
    values |= {"MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD, "STATE": str(folder / "state")}
    with running(
        [str(ROOT / "deploy/server.sh")],
        folder / "server.log",
        lambda process: wait_until_up(process, port),
        clean_environment() | values | environment,
        folder,
    ):
        yield f"http://{HOST}:{port}"


@contextmanager
def bare_server(folder: Path, *options: str) -> Iterator[str]:
    """MLflow's server on SQLite with nothing but these options; its URI."""
    port = free_port(15_300)
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", *options]
    with running(command, folder / "bare.log", lambda process: wait_until_up(process, port), clean_environment()):
        yield f"http://{HOST}:{port}"


def login(uri: str, password: str = ADMIN_PASSWORD) -> dict[str, str]:
    """The environment of a user of a server."""
    name = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": password}
    return {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_TIMEOUT": "120", "PYTHONPATH": "src", **name}


def clean_environment() -> dict[str, str]:
    """This process's environment without what a test has set for MLflow's clients."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PG"))}
    return kept | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}


def program(name: str) -> str:
    """A program of the newest PostgreSQL here: Debian keeps them out of PATH."""
    found = max(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), default=None) or shutil.which(name)
    if not found:
        pytest.fail(f"{name} is missing: `apt-get install postgresql` as root", pytrace=False)
    return str(found)


def _as_postgres() -> list[str]:
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
