"""The MLflow store: its address, its creation and its experiments."""

import contextlib
import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from mlflow import MlflowClient

from seqmnist.errors import UserError
from seqmnist.paths import repository
from seqmnist.settings import Tracking
from seqmnist.tracking.away import ServerAway, passing_over, reason, refused, shown
from seqmnist.tracking.relocation import ARTIFACTS, follow

_SQLITE = re.compile(r"sqlite(?:\+pysqlite)?:///(?P<path>[^?]+)(?P<options>\?.*)?", re.DOTALL)
_WITH_DRIVER = "sqlite+pysqlite:///"
_NOTE = "mlflow.note.content"  # where MLflow keeps an experiment's description
_DESCRIPTION = """\
**Compare the cells:** choose *Model training* at the top left, *Runs*; tick the newest `train@rnn` and `train@lstm`
(with several seeds one of each, of the same seed) and press *Compare*. *Show diff only* leaves the parameters that
differ; a click on a metric's name draws it for both.

The chart symbol above the table of runs draws all their metrics. The other runs are those of the stages `download`,
`preprocess` and `evaluate`; all runs of one configuration share the tag `config.sha256`.
"""
# What this project wrote there before, by SHA-256: a description of anyone else's stays.
_EARLIER = (
    "8533156c0c91c88c26d54760ba40ea0377125293f73bd3c4480ca3cd542d395b",
    "815d99b26c75148e982a1e2aa0a82f4d435c86f4699ae59ecbe414862c26b3b2",
    "dfc2442e09e515c4288ed1686d94ae1abeb4462dbdc57a0a0f35a853a943dfb6",
)


def tracking_uri(tracking: Tracking) -> str:
    """Return MLFLOW_TRACKING_URI, else the configured one, else the database at the repository's root."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or tracking.uri or "sqlite:///mlflow.db"
    if path := _sqlite_path(uri):
        # A temporary experiment's working directory is deleted with it: relative paths are the repository's.
        return _sqlite_uri(repository() / path, uri.partition("?")[2])
    return re.sub("^sqlite:///", _WITH_DRIVER, uri)  # else MLflow makes a folder `file:`


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
        if isinstance(told := refused(uri, error), ServerAway):
            raise told from None
        raise UserError(f"tracking: the MLflow store {shown(uri)} can't be used: {reason(error)}") from None
    return client, experiment


def _experiment(client: MlflowClient, uri: str, name: str) -> str:
    if (experiment := client.get_experiment_by_name(name)) is None:
        with passing_over("RESOURCE_ALREADY_EXISTS"):
            return _create_experiment(client, uri, name)
        experiment = client.get_experiment_by_name(name)  # another process was faster
    if experiment is None or experiment.lifecycle_stage == "deleted":
        raise UserError(f"tracking.experiment = {name!r} was deleted in {uri}: restore it, or choose another name")
    note = experiment.tags.get(_NOTE, "")
    if not note or hashlib.sha256(note.encode()).hexdigest() in _EARLIER:
        _set_description(client, experiment.experiment_id, _DESCRIPTION)  # also where it was emptied
    return str(experiment.experiment_id)


def describe(client: MlflowClient, experiment: str, description: str) -> None:
    """Give an experiment another description than the one that it was created with, unless a user has done so."""
    if client.get_experiment(experiment).tags[_NOTE] == _DESCRIPTION:
        _set_description(client, experiment, description)


def _set_description(client: MlflowClient, experiment: str, description: str) -> None:
    with passing_over("BAD_REQUEST"):  # MLflow 3.17 looks for a tag and then adds it: of two at a time one is refused
        client.set_experiment_tag(experiment, _NOTE, description)


def quoted(text: str) -> str:
    """Quote a text as a value in a search condition, which knows both kinds of quotes and no escapes."""
    return f'"{text}"' if "'" in text else f"'{text}'"


@contextlib.contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """Wait until no other process on this machine is here for the same database file.

    Nothing is waited for at a server, nor at a database whose URI has options.
    """
    with contextlib.ExitStack() as stack:
        if path := _sqlite_path(uri):
            file = path.resolve()
            lock = stack.enter_context(file.with_name(f"{file.name}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the file, however this process ends
        yield


def _create_experiment(client: MlflowClient, uri: str, name: str) -> str:
    """Create an experiment whose artifacts are beside a local database; a server decides for itself."""
    path = _sqlite_path(uri)
    artifacts = path and (path.resolve().parent / ARTIFACTS).as_uri()
    return str(client.create_experiment(name, artifacts, tags={_NOTE: _DESCRIPTION}))


def _create_database(path: Path, experiment: str) -> None:
    """Make a whole database under a temporary name, then give it its name unless another process was faster.

    Processes that create the tables of one database side by side break it beyond repair (MLflow 3.17).
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
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)


def _sqlite_uri(path: Path, options: str = "") -> str:
    """Return the address of a database file that all readers take right.

    SQLAlchemy unquotes it. MLflow takes what follows `sqlite:///` literally, options included, and makes that file's
    folder. An address that names the driver keeps MLflow from it.
    """
    text = str(path).replace("%", "%25").replace("?", "%3F")
    prefix = _WITH_DRIVER if options or "%" in text else "sqlite:///"
    return f"{prefix}{text}{'?' if options else ''}{options}"


def _sqlite_path(uri: str) -> Path | None:
    """Return the database file of an SQLite URI; None for all other stores and for SQLite's own URIs (`file:`)."""
    found = _SQLITE.fullmatch(uri)
    return Path(unquote(found["path"])) if found and "uri=true" not in (found["options"] or "") else None
