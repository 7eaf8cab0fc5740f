"""MLflow runs of stages and trials: start or resume a run, log into it, and end it with the right status."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, RunTag
from mlflow.entities import Run as LoggedRun
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from accord.errors import UserError, one_line
from accord.paths import PARAMS
from accord.process import Terminated, signals_waiting
from accord.project import own_command
from accord.settings import Tracking, flatten
from accord.tracking.connection import ServerAway, StoreConnection, passing_over, refused
from accord.tracking.run_tags import CODE, identity_tags
from accord.tracking.stale import end_stale_runs, process_tags
from accord.tracking.store import open_store, tracking_uri

ERROR = "error"  # name of the tag that says why a run failed
PRUNED = "pruned"  # name of the tag with the epoch in which a search pruned the trial
_MAX_HEX_DIGITS = 32  # digits of a data set's digest that MLflow's column has room for


@dataclass(frozen=True)
class RunRequest:
    """A request for the MLflow run of a stage or trial."""

    stage: str  # name of the stage, a tag by which the run is found
    name: str  # name of the MLflow run
    tags: Mapping[str, str] = field(default_factory=dict)  # further tags by which the run is found
    extra_tags: Mapping[str, str] = field(default_factory=dict)  # tags set on the run but not used to find it
    resume: str | None = None  # id of a run to resume if the store has it
    starts_anew: bool = False  # the training starts at epoch 0: a run to resume that has metrics is not resumed
    # Text for people that names the command to send the rest once the server is back; if None, ServerAway is raised.
    remedy: str | None = field(default_factory=lambda: f"{own_command('sync')} sends the rest")
    away: ServerAway | None = None  # the error, if the server is known to be away before the start
    checkpoints: Path | None = None  # folder of a trial's checkpoints, which are kept until its result is written
    pruned: Callable[[], int | None] = lambda: None  # returns the epoch in which a search pruned the trial, or None

    def resumed(self, run_id: str) -> "RunRequest":
        """Return the request for resuming the run that a training's checkpoint names; "" if there is no checkpoint."""
        return replace(self, resume=run_id or self.resume, starts_anew=not run_id)


class Pruned(BaseException):
    """A search pruned this trial. Like KeyboardInterrupt it is no `Exception`, so that only clean-up code sees it."""

    def __init__(self, epoch: int, *, is_logged: bool) -> None:
        """Store the epoch, and whether MLflow has the complete run of the trial."""
        self.epoch, self.is_logged = epoch, is_logged


def whole_transactions() -> AbstractContextManager[None]:
    """Delay signals while the store is SQLite: their exceptions would leave a transaction open and the file locked."""
    return signals_waiting() if mlflow.get_tracking_uri().startswith("sqlite") else nullcontext()


class Run:
    """A running MLflow run.

    Metrics and models that a resumed run has already are not logged again. If the server goes away, nothing more is
    sent, and the run stays RUNNING and incomplete.
    """

    def __init__(self, run_id: str, connection: StoreConnection) -> None:
        """Store the run's id and its connection; the id is "" if the server was away from the start."""
        self.id, self._connection, self.attempt = run_id, connection, connection.attempt
        self._logged: set[tuple[str, int]] = set()  # (metric, step) that a resumed run had from the start
        self._sent: set[tuple[str, int, float]] = set()  # (metric, step, value) sent by this process
        self._has_model = False
        self.pruned: Callable[[], int | None] = lambda: None  # `RunRequest.pruned` of the run's request

    def find_logged(self, logged: LoggedRun) -> None:
        """Record the metrics and model that a resumed run has; `logged` is the run as the store returned it."""
        client = mlflow.MlflowClient()
        self._logged = {
            (name, point.step) for name in logged.data.metrics for point in client.get_metric_history(self.id, name)
        }
        models = logged.outputs.model_outputs if logged.outputs else []
        self._has_model = any(client.get_logged_model(one.model_id).status == "READY" for one in models)

    @property
    def is_whole(self) -> bool:
        """Return whether everything logged so far was sent to the store."""
        return not self._connection.is_cut

    def _send(self, request: Callable[[mlflow.MlflowClient], object]) -> None:
        """Attempt a request that writes to the database."""
        with whole_transactions():
            self.attempt(lambda: request(mlflow.MlflowClient()))

    def end(self, status: str) -> None:
        """End the run with the status FINISHED, FAILED or KILLED."""
        self.attempt(lambda: mlflow.MlflowClient().set_terminated(self.id, status))

    def params(self, values: Mapping[str, Any]) -> None:
        """Log nested values as parameters with dotted names."""
        self._send(lambda _: mlflow.log_params(parameter_texts(values), run_id=self.id))

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics in one call; those of an epoch have its number as `step`.

        Raises:
            Pruned: A search pruned this trial, in this epoch or before.
        """
        now, at = int(time.time() * 1000), step or 0  # `now` in milliseconds
        new = {key: value for key, value in values.items() if (key, at) not in self._logged}
        points = [Metric(key, value, now, at) for key, value in new.items() if (key, at, value) not in self._sent]
        self._sent |= {(key, at, value) for key, value in new.items()}
        if points:
            # `mlflow.log_metrics` would also attach them to models of this step or of MLFLOW_ACTIVE_MODEL_ID.
            self._send(lambda client: client.log_batch(self.id, metrics=points))
        if step is not None and (epoch := self.pruned()) is not None and epoch <= step:
            raise Pruned(epoch, is_logged=self.is_whole)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags on the run, in one call."""
        tags = [RunTag(key, value) for key, value in values.items()]
        self._send(lambda client: client.log_batch(self.id, tags=tags))

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file, or a folder's files, into the run's artifacts."""
        if path.is_dir():
            self.attempt(partial(mlflow.log_artifacts, str(path), folder or path.name, run_id=self.id))
        else:
            self.attempt(partial(mlflow.log_artifact, str(path), folder, run_id=self.id))

    def once(self, marker: str, log: Callable[[], None]) -> None:
        """Call `log` unless the run has an artifact at the path `marker`, which `log` creates last."""
        if self.attempt(lambda: not mlflow.MlflowClient().list_artifacts(self.id, marker)):
            self.attempt(log)

    def model(self, log: Callable[[str], None]) -> None:
        """Call `log`, which logs a model, with the run's id, unless the run has a model."""
        if not self._has_model:
            self.attempt(partial(log, self.id))

    def dataset(self, name: str, sha256: str, folder: Path, profile: Mapping[str, Any], context: str) -> None:
        """Log a data set as an input of the run.

        Args:
            name: Name of the data set.
            sha256: SHA-256 of its content, in hexadecimal.
            folder: Folder with its files, relative to the repository.
            profile: Further facts to show in MLflow, as JSON values.
            context: Use of the data set in the run, such as `train`.
        """
        source = dataset_source(folder, sha256)
        dataset = Dataset(name, sha256[:_MAX_HEX_DIGITS], *source, profile=json.dumps(profile))
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])]

        def log(client: mlflow.MlflowClient) -> None:
            try:
                client.log_inputs(self.id, inputs)
            except MlflowException as error:  # if processes log a new data set at once, all but one fail (MLflow 3.17)
                if isinstance(refused(self._connection.uri, error), ServerAway):
                    raise
                client.log_inputs(self.id, inputs)

        self._send(log)


def parameter_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return nested values in the form that MLflow stores: texts by dotted name."""
    flat = flatten(dict(values))
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in flat.items()}


def dataset_source(folder: Path, sha256: str) -> tuple[str, str]:
    """Return the type and JSON of a data set's source, as `mlflow.data.get_source` reads them.

    Args:
        folder: Folder of the data set, relative to the repository, so that it is valid in every clone.
        sha256: SHA-256 of its content, in hexadecimal.
    """
    return "local", json.dumps({"uri": folder.as_posix(), "sha256": sha256})


@contextmanager
def stage_run(tracking: Tracking, request: RunRequest) -> Iterator[Run]:
    """Start or resume a run, and end it with the block: as FINISHED, FAILED with the error as a tag, or KILLED.

    At the start, earlier runs left RUNNING by dead processes of this machine become KILLED.

    Raises:
        UserError: The store can't be used. A server that is away is an error only if the request's `remedy` is None.
        Pruned: A search pruned the trial during the block. The run is FINISHED and has the tag PRUNED.
    """
    connection = StoreConnection(request.name, tracking_uri(tracking), request.remedy)
    own, given = identity_tags(), {**request.tags, **request.extra_tags}
    if not given.keys().isdisjoint(CODE):  # a trial gets its sweep's: its own machine may have no repository
        own = {key: value for key, value in own.items() if key not in CODE}
    tags = {"stage": request.stage, **own, **process_tags(), **given}
    if request.away:
        connection.cut(request.away)
    known = None if request.starts_anew else request.resume  # the id to use while the server is away
    run = connection.attempt(partial(_started, tracking, request, tags, connection)) or Run(known or "", connection)
    run.pruned = request.pruned
    try:
        run.artifact(PARAMS)
        yield run
    except (KeyboardInterrupt, Terminated, Pruned):
        if (epoch := request.pruned()) is None:
            run.end("KILLED")
            raise
        with suppress(Terminated), signals_waiting():  # the trial is ending: a SIGTERM from its driver changes nothing
            run.tags({PRUNED: str(epoch)})
            run.end("FINISHED")
        raise Pruned(epoch, is_logged=run.is_whole) from None
    except BaseException as error:
        with suppress(UserError):  # a failure to log must not hide the error itself
            run.tags({ERROR: one_line(error)})
            run.end("FAILED")
        raise
    run.end("FINISHED")


def _started(tracking: Tracking, request: RunRequest, tags: dict[str, str], connection: StoreConnection) -> Run:
    """Resume the requested run if this experiment has it, or start a new one."""
    client, experiment_id = open_store(tracking)
    mlflow.set_tracking_uri(client.tracking_uri)
    end_stale_runs(client, experiment_id)
    before = find_run(client, request.resume) if request.resume else None
    if before is None or before.info.experiment_id != experiment_id or (request.starts_anew and before.data.metrics):
        started = client.create_run(experiment_id, run_name=request.name, tags=resolve_tags(tags))
        return Run(started.info.run_id, connection)
    reopen(client, before, tags)
    run = Run(before.info.run_id, connection)
    run.find_logged(before)
    return run


def reopen(client: mlflow.MlflowClient, run: LoggedRun, tags: Mapping[str, str]) -> None:
    """Make a run RUNNING again, set these tags, and delete its other tags about an error or the code."""
    for key in (ERROR, *CODE):
        if key in run.data.tags and key not in tags:
            client.delete_tag(run.info.run_id, key)
    client.log_batch(run.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    client.update_run(run.info.run_id, status="RUNNING")


def find_run(client: mlflow.MlflowClient, run_id: str) -> LoggedRun | None:
    """Return the run with this id, or None if the store has none or it is deleted."""
    with passing_over("RESOURCE_DOES_NOT_EXIST"):
        run = client.get_run(run_id)
        return run if run.info.lifecycle_stage == "active" else None
    return None
