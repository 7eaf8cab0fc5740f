"""Sweeps in MLflow: one parent run per sweep, found by the sweep's folder, and one child run per trial."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils import get_results_from_paginated_fn
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from accord.errors import UserError
from accord.project import find_project
from accord.settings import Tracking
from accord.tracking.run_tags import CODE, CONFIG
from accord.tracking.runs import ERROR, PRUNED, reopen
from accord.tracking.stale import HOST, PLACE, end_stale_runs, process_tags
from accord.tracking.store import describe, open_store, quoted

FOLDER, TRIAL, COMMAND = "sweep.folder", "sweep.trial", "sweep.command"
_DESCRIPTION = """\
A run for each sweep, and below it (the *+* before its name) a run for each trial, named by what was swept.

A sweep's *Artifacts* hold the table of its trials, their parallel coordinates and the learning curves of the best;
its tag `best.run_id` names the best trial. `{name} promote <run id>` carries a trial's values into the pipeline.
"""
_POLL_SECONDS = 0.5
_END_TIMEOUT_SECONDS = 10  # time in which a trial's process must end its own run

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Trial:
    """A trial of a sweep, as its MLflow run describes it."""

    number: int  # number of the trial's job in the sweep
    run_id: str
    name: str  # varied parameters and their values
    status: str  # status of the MLflow run
    error: str  # message of the error; empty if the trial did not fail
    minutes: float  # duration of the run; NaN if MLflow was not asked
    command: str  # command that started the sweep
    parameters: dict[str, Any]  # values by dotted name
    metrics: dict[str, float]  # last value of each metric, by name
    pruned: int | None = None  # epoch in which the search pruned the trial; None if it did not


class Sweep:
    """The runs of one sweep."""

    def __init__(self, client: MlflowClient, experiment: str, folder: str) -> None:
        """Find the parent run of the sweep.

        Args:
            client: Client of the store.
            experiment: Id of the experiment.
            folder: Absolute path of the sweep's folder.
        """
        self._client, self._experiment, self._folder = client, experiment, folder
        self._parent = self._find(f"tags.`{FOLDER}` = {quoted(folder)}")

    @classmethod
    def configured(cls, tracking: Tracking, folder: Path, former: Path | None = None) -> Self:
        """Return the sweep of a folder in the configured experiment.

        Args:
            tracking: Section `tracking` of the configuration.
            folder: Folder of the sweep.
            former: Folder where the sweep was before it was moved, if it was. A store that did not move with it, such
                as a server's, knows only this one.

        Raises:
            UserError: The store can't be used, or the sweep was copied and its run is that of the original.
        """
        sweep = cls(*open_store(tracking), str(folder.resolve()))
        if sweep.run_id is None and former:
            sweep._parent = sweep._find(f"tags.`{FOLDER}` = {quoted(str(former))}")  # `start` updates the tag
            if sweep._parent and former.exists():
                remedy = "MLflow's runs belong to that: give it instead"
                raise UserError(f"{sweep._folder} is a copy of {former}, and {remedy}")
        return sweep

    @property
    def run_id(self) -> str | None:
        """The id of the parent run, or None if there is none."""
        return str(self._parent.info.run_id) if self._parent else None

    @property
    def other_host(self) -> str | None:
        """The name of the machine or container where the parent run was last started; None if it is this one."""
        tags = self._parent.data.tags if self._parent else process_tags()
        return None if tags.get(PLACE) == process_tags()[PLACE] else tags.get(HOST)

    def start(self, name: str, tags: Mapping[str, str]) -> None:
        """Start the parent run, or resume the one that the folder has."""
        all_tags = {FOLDER: self._folder, **process_tags(), **tags}
        describe(self._client, self._experiment, _DESCRIPTION.format(name=find_project().name))
        if self._parent is None:
            self._parent = self._client.create_run(self._experiment, run_name=name, tags=resolve_tags(all_tags))
        else:
            reopen(self._client, self._parent, all_tags)

    def end(self, status: Status) -> None:
        """End the parent run."""
        self._client.set_terminated(self.run_id, status)

    def remove(self) -> None:
        """Delete the parent run of a sweep without trials; end it as KILLED if MLflow refuses to delete it.

        MLflow refuses this, e.g., in an experiment of another user.
        """
        try:
            self._client.delete_run(self.run_id)
        except MlflowException:
            self.end("KILLED")

    def record(self, metrics: Mapping[str, float], tags: Mapping[str, str], files: Path) -> None:
        """Log the results of the whole sweep into its parent run.

        Args:
            metrics: Metrics by name; each call logs them at the next step.
            tags: Tags to set.
            files: Folder whose files become artifacts.
        """
        for name, value in metrics.items():
            step = len(self._client.get_metric_history(self.run_id, name))
            self._client.log_metric(self.run_id, name, value, step=step)
        for name, text in tags.items():
            self._client.set_tag(self.run_id, name, text)
        self._client.log_artifacts(self.run_id, str(files))

    def trial_tags(self, number: int) -> dict[str, str]:
        """Return the tags that make a run a trial of this sweep; empty if the sweep has no parent run."""
        return {MLFLOW_PARENT_RUN_ID: self._parent.info.run_id, TRIAL: str(number)} if self._parent else {}

    def extra_tags(self) -> dict[str, str]:
        """Return the sweep's tags about its command and code, for trials on machines without the repository."""
        tags = self._parent.data.tags if self._parent else {}
        return {key: tags[key] for key in (COMMAND, *CODE) if key in tags}

    def wait_for_end(self, number: int, config: str) -> None:
        """Wait some seconds for a trial's process, whose worker was killed, to end its run.

        Args:
            number: Number of the trial.
            config: SHA-256 of the trial's params.yaml.
        """
        until = time.monotonic() + _END_TIMEOUT_SECONDS
        while (run := self._trial_run(number, config)) and run.info.status == "RUNNING" and time.monotonic() < until:
            self.settle_stale()  # ends the wait early if the process ran on this machine and is gone
            time.sleep(_POLL_SECONDS)

    def trial_run_id(self, number: int, config: str) -> str | None:
        """Return the id of the newest run of a trial, or None; `config` is the SHA-256 of the trial's params.yaml."""
        run = self._trial_run(number, config)
        return str(run.info.run_id) if run else None

    def settle(self, number: int, config: str, name: str, status: Status, error: str) -> None:
        """Record in MLflow how a trial ended whose process is gone; create its run if there is none.

        A final status or an error that the run has already stays.

        Args:
            number: Number of the trial.
            config: SHA-256 of the trial's params.yaml.
            name: Name of a run that has to be created.
            status: Status for a run that is RUNNING.
            error: Message for the tag ERROR.
        """
        run = self._trial_run(number, config)
        if run is None:
            tags = {**self.trial_tags(number), **self.extra_tags(), "stage": "train", CONFIG: config}
            run = self._client.create_run(self._experiment, run_name=name, tags=resolve_tags(tags))
        if ERROR not in run.data.tags:
            self._client.set_tag(run.info.run_id, ERROR, error)
        if run.info.status == "RUNNING":
            self._client.set_terminated(run.info.run_id, status)

    def settle_stale(self) -> None:
        """Mark as KILLED the trials left RUNNING by killed processes of this machine."""
        end_stale_runs(self._client, self._experiment)

    def trials(self) -> list[Trial]:
        """Return all trials, sorted by number, each with its newest run."""
        search = partial(self._client.search_runs, [self._experiment], self._children(), ViewType.ACTIVE_ONLY)
        found = get_results_from_paginated_fn(lambda count, token: search(count, page_token=token), 1000)
        newest = {int(run.data.tags[TRIAL]): run for run in reversed(found)}  # MLflow returns the newest first
        return [_trial(number, run) for number, run in sorted(newest.items())]

    def mark_pruned(self, trial: Trial, epoch: int) -> Trial:
        """Tag the run of a trial as pruned in an earlier epoch: it ended before the search judged that epoch."""
        self._client.set_tag(trial.run_id, PRUNED, str(epoch))
        return replace(trial, pruned=epoch)

    def curve(self, trial: Trial, metric: str) -> list[float]:
        """Return the values of a trial's metric, one per epoch."""
        points = self._client.get_metric_history(trial.run_id, metric)
        return [point.value for point in sorted(points, key=lambda point: point.step)]

    def _children(self) -> str:
        return f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.run_id}'"

    def _trial_run(self, number: int, config: str) -> Run | None:
        condition = f"{self._children()} and tags.`{TRIAL}` = '{number}' and tags.`{CONFIG}` = '{config}'"
        return self._find(condition) if self._parent else None

    def _find(self, condition: str) -> Run | None:
        found = self._client.search_runs([self._experiment], condition, max_results=1)
        return found[0] if found else None


def read_run(tracking: Tracking, run_id: str) -> Trial | list[Trial]:
    """Return the trial or other training of a run, or the trials if it is a sweep's run.

    Raises:
        UserError: The store can't be used or has no such run.
    """
    client, _ = open_store(tracking)
    try:
        run = client.get_run(run_id)
    except MlflowException:
        raise UserError(f"{run_id!r} is no run of {client.tracking_uri}, and no folder of a sweep") from None
    if folder := run.data.tags.get(FOLDER):
        return Sweep(client, run.info.experiment_id, folder).trials()
    return _trial(int(run.data.tags.get(TRIAL, 0)), run)


def _trial(number: int, run: Run) -> Trial:
    end = run.info.end_time or run.info.start_time
    return Trial(
        number=number,
        run_id=run.info.run_id,
        name=run.data.tags.get(MLFLOW_RUN_NAME, ""),
        status=run.info.status,
        error=run.data.tags.get(ERROR, ""),
        minutes=(end - run.info.start_time) / 60_000,
        command=run.data.tags.get(COMMAND, ""),
        parameters={key: _value(text) for key, text in run.data.params.items()},
        metrics=dict(run.data.metrics),
        pruned=int(run.data.tags[PRUNED]) if PRUNED in run.data.tags else None,
    )


def _value(text: str) -> Any:
    """Convert a parameter's text back into the value that `Run.params` was given."""
    try:
        return json.loads(text)
    except ValueError:
        return text
