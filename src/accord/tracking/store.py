"""The MLflow store: its address, its creation and its experiments."""

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from mlflow import MlflowClient

from accord.errors import UserError
from accord.paths import repository
from accord.project import find_project
from accord.settings import Tracking
from accord.tracking.connection import is_server, passing_over, refused
from accord.tracking.relocation import ARTIFACTS, follow, set_default_artifacts

_SQLITE = re.compile(r"sqlite(?:\+pysqlite)?:///(?P<path>[^?]+)(?P<options>\?.*)?", re.DOTALL)
_IS_OWN = re.compile(r"[?&]uri=(true|1|yes|on)\b", re.IGNORECASE)  # of SQLite's own form of address, file:PATH
_IN_MEMORY = re.compile(r"^sqlite(\+pysqlite)?:(///?(\?|$)|.*:memory:|.*\bmode=memory\b)")
_WITH_DRIVER = "sqlite+pysqlite:///"
_NOTE = "mlflow.note.content"  # where MLflow keeps an experiment's description


def tracking_uri(tracking: Tracking) -> str:
    """Return MLFLOW_TRACKING_URI, else the configured one, else the database at the repository's root.

    Raises:
        UserError: It is a database in memory.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or tracking.uri or "sqlite:///mlflow.db"
    if _IN_MEMORY.search(uri):
        raise UserError(f"tracking: {uri} is a store in memory, which ends with each process: name a file")
    if path := _sqlite_path(uri):
        # A temporary experiment's working directory is deleted with it: relative paths are the repository's.
        return _sqlite_uri(repository() / path, uri.partition("?")[2])
    return uri


def open_store(tracking: Tracking) -> tuple[MlflowClient, str]:
    """Return a client of the store and the id of the configured experiment; both are created if need be.

    Raises:
        UserError: The store can't be used, or the experiment was deleted; `ServerAway` where a server is away.
    """
    uri = tracking_uri(tracking)
    try:
        if path := _sqlite_path(uri):
            _create_database(path, tracking.experiment)
        client = MlflowClient(tracking_uri=uri)
        experiment = _experiment(client, uri, tracking.experiment)
        if path:
            follow(path.resolve())
    except UserError:
        raise
    except Exception as error:  # of MLflow, SQLAlchemy, a database's driver or the file system
        raise refused(uri, error, "the MLflow store {} can't be used") from None
    return client, experiment


def _experiment(client: MlflowClient, uri: str, name: str) -> str:
    """Return the id of the experiment, which is created if need be."""
    if (experiment := client.get_experiment_by_name(name)) is None:
        with passing_over("RESOURCE_ALREADY_EXISTS"):
            return _create_experiment(client, uri, name)
        experiment = client.get_experiment_by_name(name)  # another process was faster
    if experiment is None or experiment.lifecycle_stage == "deleted":
        raise UserError(f"tracking.experiment = {name!r} was deleted in {uri}: restore it, or choose another name")
    if not experiment.tags.get(_NOTE):  # it was emptied
        _set_description(client, experiment.experiment_id, find_project().description)
    return str(experiment.experiment_id)


def describe(client: MlflowClient, experiment: str, description: str) -> None:
    """Give an experiment another description than the one that it was created with, unless a user has done so."""
    if client.get_experiment(experiment).tags[_NOTE] == find_project().description:
        _set_description(client, experiment, description)


def _set_description(client: MlflowClient, experiment: str, description: str) -> None:
    with passing_over("BAD_REQUEST"):  # MLflow 3.17 looks for a tag and then adds it: of two at a time one is refused
        client.set_experiment_tag(experiment, _NOTE, description)


def quoted(text: str) -> str:
    """Quote a text as a value in a search condition, which knows both kinds of quotes and no escapes."""
    return f'"{text}"' if "'" in text else f"'{text}'"


@contextlib.contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Wait until no other process on this machine is here for the same database file; never wait for a server."""
    with contextlib.ExitStack() as stack:
        if path := _sqlite_path(uri):
            file = path.resolve()
            lock = stack.enter_context(file.with_name(f"{file.name}.lock").open("wb"))
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the file, however this process ends
        yield


def _create_experiment(client: MlflowClient, uri: str, name: str) -> str:
    """Create an experiment with artifacts beside a local database, or in the repository; a server has its own place."""
    path = _sqlite_path(uri)
    folder = path.resolve().parent if path else repository()
    artifacts = None if is_server(uri) else (folder / ARTIFACTS).as_uri()
    return str(client.create_experiment(name, artifacts, tags={_NOTE: find_project().description}))


def _create_database(path: Path, experiment: str) -> None:
    """Make a whole database, then give it its name: processes that fill one side by side break it (MLflow 3.17)."""
    if path.is_file():
        return
    if path.exists():
        raise UserError(f"tracking: {path} is not a database file: move it away")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        client = MlflowClient(tracking_uri=_sqlite_uri(temporary))
        _create_experiment(client, _sqlite_uri(path), experiment)
        set_default_artifacts(temporary, path.resolve().parent / ARTIFACTS)
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(temporary, path)


def _sqlite_uri(path: Path, options: str = "") -> str:
    """Return the address of a database file that all readers take right."""
    text = f"file:{quote(str(path))}" if _IS_OWN.search(f"?{options}") else str(path)
    text = text.replace("%", "%25").replace("?", "%3F")  # SQLAlchemy unquotes it
    # MLflow makes a folder of what follows `sqlite:///`, literally and with options, unless the driver is named.
    prefix = _WITH_DRIVER if options or "%" in text else "sqlite:///"
    return f"{prefix}{text}{'?' if options else ''}{options}"


def _sqlite_path(uri: str) -> Path | None:
    """Return the database file of an SQLite URI; None for all other stores."""
    if not (found := _SQLITE.fullmatch(uri)):
        return None
    path = unquote(found["path"])
    if _IS_OWN.search(found["options"] or ""):
        path = unquote(urlsplit(path).path)  # SQLite unquotes it, too
    return Path(path)
