"""Find the MLflow run of a stage's outputs by their digest, or log one from the outputs.

A stage that DVC skips or restores from its cache logs no run. If the server goes away, a stage leaves a partial run.
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
    """Return the id of the run that made a stage's outputs, and tag it with the present configuration.

    If no finished run has these outputs, a partial run is completed. If there is none either, a new run is logged, with
    the tag `source=dvc-cache`.

    Args:
        tracking: Section `tracking` of the configuration.
        request: Request for the stage's run.
        identity: Tags with the digests of the outputs.
        log: Function that logs into a run everything that the stage itself would log.

    Raises:
        UserError: The store can't be used; `ServerAway` if the server is away or goes away.
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
    """Return the id of a KILLED run of the present configuration that holds nothing but what `log` logs, or None."""
    parts = client.search_runs([experiment], _condition("KILLED", {**tags, CONFIG: sha256_file(PARAMS)}))
    if not parts:
        return None
    log(draft := _Draft())
    return next((str(run.info.run_id) for run in parts if draft.has_part(client, run)), None)


class _Draft(Run):
    """A run that records parameters and metrics in memory, and sends nothing."""

    def __init__(self) -> None:
        super().__init__("", StoreConnection("draft", "", None, is_cut=True))
        self._parameters: dict[str, str] = {}
        self._points: dict[tuple[str, int], float] = {}

    def params(self, values: Mapping[str, Any]) -> None:
        self._parameters |= parameter_texts(values)

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        self._points |= {(name, step or 0): value for name, value in values.items()}

    def has_part(self, client: MlflowClient, run: LoggedRun) -> bool:
        """Return whether all parameters and metrics of a run, except times, are among the recorded ones."""
        if not run.data.params.items() <= self._parameters.items():
            return False
        return all(
            self._points.get((name, point.step)) == point.value
            for name in run.data.metrics
            if not name.startswith("time.")  # times are in no output
            for point in client.get_metric_history(run.info.run_id, name)
        )


def newest_finished(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> LoggedRun | None:
    """Return the newest finished run with these tags, or None."""
    runs = client.search_runs([experiment], _condition("FINISHED", tags), max_results=1)
    return runs[0] if runs else None


def _condition(status: str, tags: Mapping[str, str]) -> str:
    """Return a condition for `search_runs`; the tag CONFIG matches if its list of digests contains the value."""
    tests = {key: f"LIKE '%{value}%'" if key == CONFIG else f"= {quoted(value)}" for key, value in tags.items()}
    return " and ".join([f"attributes.status = '{status}'", *(f"tags.`{key}` {test}" for key, test in tests.items())])


def _join(client: MlflowClient, run: LoggedRun) -> None:
    """Add the present configuration and the present DVC experiment to a run's tags."""
    for key, value in experiment_tags().items():
        known = run.data.tags.get(key, "").split()
        if value not in known:
            client.set_tag(run.info.run_id, key, " ".join([*known, value][-100:]))  # a tag holds 8,000 characters
