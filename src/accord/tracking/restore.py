"""Find the MLflow run of a stage's outputs by their digest, or make one of the outputs.

A stage that DVC skips or restores from its cache makes no run, and one whose server goes away leaves a part of one.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run as LoggedRun

from accord.files import sha256_file
from accord.paths import PARAMS
from accord.settings import Tracking
from accord.tracking.connection import StoreConnection, user_errors
from accord.tracking.run_tags import CONFIG, experiment_tags
from accord.tracking.runs import Run, RunRequest, parameter_texts, stage_run
from accord.tracking.stale import end_stale_runs
from accord.tracking.store import open_store, quoted


def found_or_restored(
    tracking: Tracking, request: RunRequest, identity: Mapping[str, str], log: Callable[[Run], None]
) -> str:
    """Return the id of the run that made a stage's outputs, which becomes one of the present configuration too.

    `identity` holds tags with the digests of the outputs. Where no finished run has them, a part of a run is completed,
    or else a stand-in is made: it gets the request's `extra_tags`, and `log` logs into it what the stage would have.

    Raises:
        UserError: The store can't be used; `ServerAway` where the server is away, before or during it.
    """
    client, experiment = open_store(tracking)
    wanted = {"stage": request.stage, **request.tags}
    with user_errors(client.tracking_uri):
        if run := newest_finished(client, experiment, {**wanted, **identity}):
            _join(client, run)
            return str(run.info.run_id)
        end_stale_runs(client, experiment)
        part = _part(client, experiment, {**wanted, "mlflow.runName": request.name}, log)
    extra_tags = {**request.extra_tags} if part else {**request.extra_tags, "source": "dvc-cache"}
    with stage_run(tracking, replace(request, extra_tags=extra_tags, resume=part, remedy=None, away=None)) as run:
        log(run)
        run.tags(identity)
    how = "completed in MLflow" if part else "MLflow did not have it: logged now"
    print(f"{request.name}: {how}", flush=True)
    return run.id


def _part(client: MlflowClient, experiment: str, tags: Mapping[str, str], log: Callable[[Run], None]) -> str | None:
    """Return the id of a run of the present configuration that was cut off and holds only what the files say."""
    parts = client.search_runs([experiment], _condition("KILLED", {**tags, CONFIG: sha256_file(PARAMS)}))
    if not parts:
        return None
    log(draft := _Draft())
    return next((str(run.info.run_id) for run in parts if draft.has_part(client, run)), None)


class _Draft(Run):
    """A run that takes parameters and metrics down and sends nothing."""

    def __init__(self) -> None:
        super().__init__("", StoreConnection("draft", "", None, is_cut=True))
        self._parameters: dict[str, str] = {}
        self._points: dict[tuple[str, int], float] = {}

    def params(self, values: Mapping[str, Any]) -> None:
        self._parameters |= parameter_texts(values)

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        self._points |= {(name, step or 0): value for name, value in values.items()}

    def has_part(self, client: MlflowClient, run: LoggedRun) -> bool:
        """Return whether all parameters and metrics of a run are among those taken down, times apart."""
        if not run.data.params.items() <= self._parameters.items():
            return False
        return all(
            self._points.get((name, point.step)) == point.value
            for name in run.data.metrics
            if not name.startswith("time.")  # which no file has
            for point in client.get_metric_history(run.info.run_id, name)
        )


def newest_finished(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> LoggedRun | None:
    """Return the newest finished run with these tags."""
    runs = client.search_runs([experiment], _condition("FINISHED", tags), max_results=1)
    return runs[0] if runs else None


def _condition(status: str, tags: Mapping[str, str]) -> str:
    """Return a condition for `search_runs`; the tag of a configuration's digest may hold several."""
    tests = {key: f"LIKE '%{value}%'" if key == CONFIG else f"= {quoted(value)}" for key, value in tags.items()}
    return " and ".join([f"attributes.status = '{status}'", *(f"tags.`{key}` {test}" for key, test in tests.items())])


def _join(client: MlflowClient, run: LoggedRun) -> None:
    """Make a run one of the present configuration and of the present DVC experiment too."""
    for key, value in experiment_tags().items():
        known = run.data.tags.get(key, "").split()
        if value not in known:
            client.set_tag(run.info.run_id, key, " ".join([*known, value][-100:]))  # a tag holds 8,000 characters
