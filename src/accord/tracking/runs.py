"""MLflow runs of stages and trials: how they start and end, and what can be logged into them."""

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

ERROR = "error"  # the tag that says why a run failed
PRUNED = "pruned"  # the tag that says in which epoch a search gave up on a trial
_MAX_HEX_DIGITS = 32  # of a data set's digest, for which MLflow's column has room


@dataclass(frozen=True)
class RunRequest:
    """Request for the MLflow run of a stage or trial."""

    stage: str
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)  # by which the run is found, beside its stage
    extra_tags: Mapping[str, str] = field(default_factory=dict)  # that are set but not used to find the run
    resume: str | None = None  # id of a run to resume where the store has it
    starts_anew: bool = False  # what is logged may differ from metrics that the run to resume has: it is not resumed
    # Command that sends the rest when the server is away, for people; None where that is an error.
    remedy: str | None = field(default_factory=lambda: f"{own_command('sync')} sends the rest")
    away: ServerAway | None = None  # the server is known to be away
    checkpoints: Path | None = None  # folder of a trial's checkpoints, which stay until its result is written
    pruned: Callable[[], int | None] = lambda: None  # the epoch in which a search gave up on the trial, if it did

    def resumed(self, run_id: str) -> "RunRequest":
        """Return the request of a training whose checkpoint names a run, empty where there is no checkpoint."""
        return replace(self, resume=run_id or self.resume, starts_anew=not run_id)


class Pruned(BaseException):
    """The search that a trial is of has given up on it. Like KeyboardInterrupt it is no Exception."""

    def __init__(self, epoch: int, *, is_logged: bool) -> None:
        """Say in which epoch, and whether MLflow has all of the trial."""
        self.epoch, self.is_logged = epoch, is_logged


def whole_transactions() -> AbstractContextManager[None]:
    """Let signals wait: an exception of theirs would leave SQLite's transaction open, and the database locked."""
    return signals_waiting() if mlflow.get_tracking_uri().startswith("sqlite") else nullcontext()


class Run:
    """A running MLflow run.

    What a resumed run has already is left out: no metric stands twice at a step, and no second model is logged. When
    a server goes away, the run takes nothing more, and stays without an end and without what it lacks.
    """

    def __init__(self, run_id: str, connection: StoreConnection) -> None:
        """Name the run and its way to the store; "" is the id where the server has been away from the start."""
        self.id, self._connection, self.attempt = run_id, connection, connection.attempt
        self._logged: set[tuple[str, int]] = set()  # metrics and steps of a resumed run
        self._sent: set[tuple[str, int, float]] = set()
        self._has_model = False
        self.pruned: Callable[[], int | None] = lambda: None  # that of its request

    def find_logged(self, logged: LoggedRun) -> None:
        """Find out what a resumed run has already; `logged` is the run as the store gave it."""
        client = mlflow.MlflowClient()
        self._logged = {
            (name, point.step) for name in logged.data.metrics for point in client.get_metric_history(self.id, name)
        }
        models = logged.outputs.model_outputs if logged.outputs else []
        self._has_model = any(client.get_logged_model(one.model_id).status == "READY" for one in models)

    @property
    def is_whole(self) -> bool:
        """All that the run was given has been sent."""
        return not self._connection.is_cut

    def _send(self, request: Callable[[mlflow.MlflowClient], object]) -> None:
        """Attempt a request that writes into the database."""
        with whole_transactions():
            self.attempt(lambda: request(mlflow.MlflowClient()))

    def end(self, status: str) -> None:
        """End it as FINISHED, FAILED or KILLED."""
        self.attempt(lambda: mlflow.MlflowClient().set_terminated(self.id, status))

    def params(self, values: Mapping[str, Any]) -> None:
        """Log nested values as parameters with dotted names."""
        self._send(lambda _: mlflow.log_params(parameter_texts(values), run_id=self.id))

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics in one call, those of an epoch with its number as `step`.

        Raises:
            Pruned: The search that this trial is of has given up on it, in this epoch or before.
        """
        now, at = int(time.time() * 1000), step or 0  # milliseconds
        new = {key: value for key, value in values.items() if (key, at) not in self._logged}
        points = [Metric(key, value, now, at) for key, value in new.items() if (key, at, value) not in self._sent]
        self._sent |= {(key, at, value) for key, value in new.items()}
        if points:
            # Not `mlflow.log_metrics`, which also gives them to models of this step or of MLFLOW_ACTIVE_MODEL_ID.
            self._send(lambda client: client.log_batch(self.id, metrics=points))
        if step is not None and (epoch := self.pruned()) is not None and epoch <= step:
            raise Pruned(epoch, is_logged=self.is_whole)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        tags = [RunTag(key, value) for key, value in values.items()]
        self._send(lambda client: client.log_batch(self.id, tags=tags))

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file, or a folder's files, into the run's artifacts."""
        if path.is_dir():
            self.attempt(partial(mlflow.log_artifacts, str(path), folder or path.name, run_id=self.id))
        else:
            self.attempt(partial(mlflow.log_artifact, str(path), folder, run_id=self.id))

    def once(self, marker: str, log: Callable[[], None]) -> None:
        """Call `log` unless the run has an artifact at `marker`, which `log` makes at its end."""
        if self.attempt(lambda: not mlflow.MlflowClient().list_artifacts(self.id, marker)):
            self.attempt(log)

    def model(self, log: Callable[[str], None]) -> None:
        """Call `log` with the run's id unless the run has a model, which `log` makes."""
        if not self._has_model:
            self.attempt(partial(log, self.id))

    def dataset(self, name: str, sha256: str, folder: Path, profile: Mapping[str, Any], context: str) -> None:
        """Log a data set by the digest of its content, with further facts as its profile.

        Its folder is relative to the repository; its context is its use in the run, such as `train`.
        """
        source = dataset_source(folder, sha256)
        dataset = Dataset(name, sha256[:_MAX_HEX_DIGITS], *source, profile=json.dumps(profile))
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])]

        def log(client: mlflow.MlflowClient) -> None:
            try:
                client.log_inputs(self.id, inputs)
            except MlflowException as error:  # of processes that are the first to log one all but one fail (3.17)
                if isinstance(refused(self._connection.uri, error), ServerAway):
                    raise
                client.log_inputs(self.id, inputs)

        self._send(log)


def parameter_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return nested values as MLflow keeps them: texts with dotted names."""
    flat = flatten(dict(values))
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in flat.items()}


def dataset_source(folder: Path, sha256: str) -> tuple[str, str]:
    """Return type and JSON of a data set's source for `mlflow.data.get_source`: a relative path holds in each clone."""
    return "local", json.dumps({"uri": folder.as_posix(), "sha256": sha256})


@contextmanager
def stage_run(tracking: Tracking, request: RunRequest) -> Iterator[Run]:
    """Start a run and end it as what it came to: FINISHED, FAILED with its error, or KILLED.

    Runs whose process was ended before it could say so become KILLED; so do those that a server lost sight of.

    Raises:
        UserError: The store can't be used, or no longer. A server that is away is no error, unless `remedy` is None.
        Pruned: A search gave up on the trial while the block was at work. The run is FINISHED and has a tag.
    """
    connection = StoreConnection(request.name, tracking_uri(tracking), request.remedy)
    own, given = identity_tags(), {**request.tags, **request.extra_tags}
    if not given.keys().isdisjoint(CODE):  # a trial has its sweep's, also where its machine has no repository
        own = {key: value for key, value in own.items() if key not in CODE}
    tags = {"stage": request.stage, **own, **process_tags(), **given}
    if request.away:
        connection.cut(request.away)
    known = None if request.starts_anew else request.resume  # the run where the store can't be asked for another
    run = connection.attempt(partial(_started, tracking, request, tags, connection)) or Run(known or "", connection)
    run.pruned = request.pruned
    try:
        run.artifact(PARAMS)
        yield run
    except (KeyboardInterrupt, Terminated, Pruned):
        if (epoch := request.pruned()) is None:
            run.end("KILLED")
            raise
        with suppress(Terminated), signals_waiting():  # who started the trial may ask it to end, which it does anyway
            run.tags({PRUNED: str(epoch)})
            run.end("FINISHED")
        raise Pruned(epoch, is_logged=run.is_whole) from None
    except BaseException as error:
        with suppress(UserError):  # the error itself matters more
            run.tags({ERROR: one_line(error)})
            run.end("FAILED")
        raise
    run.end("FINISHED")


def _started(tracking: Tracking, request: RunRequest, tags: dict[str, str], connection: StoreConnection) -> Run:
    """Start a new run, or the one to resume where this experiment has it."""
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
    """Make a run RUNNING again, with these tags and without what it says of an error and of other code."""
    for key in (ERROR, *CODE):
        if key in run.data.tags and key not in tags:
            client.delete_tag(run.info.run_id, key)
    client.log_batch(run.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    client.update_run(run.info.run_id, status="RUNNING")


def find_run(client: mlflow.MlflowClient, run_id: str) -> LoggedRun | None:
    """Return the run with this id, unless it is deleted or the store has none."""
    with passing_over("RESOURCE_DOES_NOT_EXIST"):
        run = client.get_run(run_id)
        return run if run.info.lifecycle_stage == "active" else None
    return None
