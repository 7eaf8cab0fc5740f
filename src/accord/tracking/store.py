"""The MLflow store: find its address, create it, and open an experiment in it."""

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
_IS_OWN = re.compile(r"[?&]uri=(true|1|yes|on)\b", re.IGNORECASE)  # marks SQLite's own form of address, file:PATH
_IN_MEMORY = re.compile(r"^sqlite(\+pysqlite)?:(///?(\?|$)|.*:memory:|.*\bmode=memory\b)")
_WITH_DRIVER = "sqlite+pysqlite:///"
_NOTE = "mlflow.note.content"  # name of MLflow's tag with an experiment's description


def tracking_uri(tracking: Tracking) -> str:
    """Return the store's address: MLFLOW_TRACKING_URI, the configured one, or mlflow.db at the repository's root.

    Raises:
        UserError: The address is that of a database in memory.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or tracking.uri or "sqlite:///mlflow.db"
    if _IN_MEMORY.search(uri):
        raise UserError(f"tracking: {uri} is a store in memory, which ends with each process: name a file")
    if path := _sqlite_path(uri):
        # Relative paths start at the repository: a temporary experiment's working directory is deleted.
        return _sqlite_uri(repository() / path, uri.partition("?")[2])
    return uri


def open_store(tracking: Tracking) -> tuple[MlflowClient, str]:
    """Return a client of the store and the id of the configured experiment; create store and experiment if needed.

    Raises:
        UserError: The store can't be used, or the experiment was deleted; `ServerAway` if a server is away.
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
    except Exception as error:  # MLflow, SQLAlchemy, database drivers and the file system raise many types
        raise refused(uri, error, "the MLflow store {} can't be used") from None
    return client, experiment


def _experiment(client: MlflowClient, uri: str, name: str) -> str:
    """Return the id of the experiment; create it if needed."""
    if (experiment := client.get_experiment_by_name(name)) is None:
        with passing_over("RESOURCE_ALREADY_EXISTS"):
            return _create_experiment(client, uri, name)
        experiment = client.get_experiment_by_name(name)  # another process was faster
    if experiment is None or experiment.lifecycle_stage == "deleted":
        raise UserError(f"tracking.experiment = {name!r} was deleted in {uri}: restore it, or choose another name")
    if not experiment.tags.get(_NOTE):  # the experiment was made by others, or its description was emptied
        _set_description(client, experiment.experiment_id, find_project().description)
    return str(experiment.experiment_id)


def describe(client: MlflowClient, experiment: str, description: str) -> None:
    """Replace an experiment's description, unless a user changed the one that it was created with."""
    if client.get_experiment(experiment).tags[_NOTE] == find_project().description:
        _set_description(client, experiment, description)


def _set_description(client: MlflowClient, experiment: str, description: str) -> None:
    with passing_over("BAD_REQUEST"):  # MLflow 3.17 refuses one of two processes that add the same tag at once
        client.set_experiment_tag(experiment, _NOTE, description)


def quoted(text: str) -> str:
    """Quote a text as a value in a search condition, which allows both kinds of quotes but no escapes."""
    return f'"{text}"' if "'" in text else f"'{text}'"


@contextlib.contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Hold a lock that only one process on this machine can have for a database file; do nothing for a server."""
    with contextlib.ExitStack() as stack:
        if path := _sqlite_path(uri):
            file = path.resolve()
            lock = stack.enter_context(file.with_name(f"{file.name}.lock").open("wb"))
            fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed, even if this process is killed
        yield


def _create_experiment(client: MlflowClient, uri: str, name: str) -> str:
    """Create an experiment and return its id.

    Artifacts go beside a local database file or, for other databases, into the repository. A server chooses its own
    folder.
    """
    path = _sqlite_path(uri)
    folder = path.resolve().parent if path else repository()
    artifacts = None if is_server(uri) else (folder / ARTIFACTS).as_uri()
    return str(client.create_experiment(name, artifacts, tags={_NOTE: find_project().description}))


def _create_database(path: Path, experiment: str) -> None:
    """Create a database under a temporary name, then link it: processes that create one in parallel break it.

    This was seen with MLflow 3.17.
    """
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
    """Return the address of a database file, quoted such that MLflow, SQLAlchemy and SQLite find the same file."""
    text = f"file:{quote(str(path))}" if _IS_OWN.search(f"?{options}") else str(path)
    text = text.replace("%", "%25").replace("?", "%3F")  # SQLAlchemy unquotes the path
    # Unless the driver is named, MLflow creates the folder that follows `sqlite:///`, without unquoting the path or
    # cutting off options.
    prefix = _WITH_DRIVER if options or "%" in text else "sqlite:///"
    return f"{prefix}{text}{'?' if options else ''}{options}"


def _sqlite_path(uri: str) -> Path | None:
    """Return the database file of an SQLite address, or None for any other store."""
    if not (found := _SQLITE.fullmatch(uri)):
        return None
    path = unquote(found["path"])
    if _IS_OWN.search(found["options"] or ""):
        path = unquote(urlsplit(path).path)  # SQLite unquotes the path once more
    return Path(path)
