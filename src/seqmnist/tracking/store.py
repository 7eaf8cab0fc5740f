"""Where runs are kept, and how the store comes to be."""

import os
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from seqmnist.config import Tracking
from seqmnist.errors import UserError

_SQLITE = "sqlite:///"
_DESCRIPTION = """\
**Compare the cells:** tick the newest `train@rnn` and `train@lstm`, press *Compare*.

A click on a metric's name there draws its curve for both. The other runs are those of the stages `download`,
`preprocess` and `evaluate`; all runs of one configuration share the tag `config.sha256`.
"""


def repository() -> Path:
    """The repository's root: DVC names it for its stages, else it is where this code stands."""
    return Path(os.environ.get("DVC_ROOT") or Path(__file__).parents[3]).resolve()


def tracking_uri(tracking: Tracking) -> str:
    """MLFLOW_TRACKING_URI, else the configured one, else the database at the repository's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or tracking.uri or f"{_SQLITE}{repository() / 'mlflow.db'}"


def open_store(tracking: Tracking) -> tuple[MlflowClient, str]:
    """A client of the store and the id of the configured experiment; both are created if need be.

    Raises:
        UserError: the store can't be reached or used, or the experiment was deleted.
    """
    uri = tracking_uri(tracking)
    if uri.startswith(_SQLITE):
        _create_database(Path(uri.removeprefix(_SQLITE)), tracking.experiment)
    try:
        client = MlflowClient(tracking_uri=uri)
        return client, _experiment(client, uri, tracking.experiment)
    except MlflowException as error:
        reason = " ".join(str(error).split())
        raise UserError(f"tracking: the MLflow store {uri} can't be used: {reason}") from None


def _experiment(client: MlflowClient, uri: str, name: str) -> str:
    if (experiment := client.get_experiment_by_name(name)) is None:
        try:
            return _create_experiment(client, uri, name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        experiment = client.get_experiment_by_name(name)  # another process was faster
    if experiment is None or experiment.lifecycle_stage == "deleted":
        raise UserError(f"tracking.experiment = {name!r} was deleted in {uri}: restore it, or choose another name")
    return str(experiment.experiment_id)


def _create_experiment(client: MlflowClient, uri: str, name: str) -> str:
    """Artifacts go beside a local database, by an absolute path; a server decides for itself."""
    artifacts = None
    if uri.startswith(_SQLITE):
        artifacts = str(Path(uri.removeprefix(_SQLITE)).resolve().parent / "mlartifacts")
    return str(client.create_experiment(name, artifacts, tags={"mlflow.note.content": _DESCRIPTION}))


def _create_database(path: Path, experiment: str) -> None:
    """Make a whole database under a temporary name, then give it its name unless another process was faster.

    Processes that create the tables of one database side by side break it beyond repair (MLflow 3.17).
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        uri = f"{_SQLITE}{temporary}"
        client = MlflowClient(tracking_uri=uri)
        _create_experiment(client, f"{_SQLITE}{path}", experiment)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
