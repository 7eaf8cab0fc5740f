"""Sweeps in MLflow: one parent run each, found by the sweep's folder, and one child for every trial."""

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
_END_TIMEOUT_SECONDS = 10  # that a trial has to end itself in

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Trial:
    """A trial as MLflow knows it: its job's number, its run, its sweep's command, and each metric's last value."""

    number: int
    run_id: str
    name: str  # what was swept
    status: str  # MLflow's
    error: str  # empty if it did not fail
    minutes: float  # from start to end; not a number where MLflow was not asked
    command: str
    parameters: dict[str, Any]  # by dotted name
    metrics: dict[str, float]
    pruned: int | None = None  # epoch in which its search gave up on it


class Sweep:
    """The runs of one sweep."""

    def __init__(self, client: MlflowClient, experiment: str, folder: str) -> None:
        """Name the store, the experiment's id, and the sweep's folder, absolute."""
        self._client, self._experiment, self._folder = client, experiment, folder
        self._parent = self._find(f"tags.`{FOLDER}` = {quoted(folder)}")

    @classmethod
    def configured(cls, tracking: Tracking, folder: Path, former: Path | None = None) -> Self:
        """Return the sweep of a folder in the configured experiment.

        Its `former` folder is where it was before it was moved: a store that did not move with it has only that.

        Raises:
            UserError: The store can't be used, or the sweep was copied and its run is that of the original.
        """
        sweep = cls(*open_store(tracking), str(folder.resolve()))
        if sweep.run_id is None and former:
            sweep._parent = sweep._find(f"tags.`{FOLDER}` = {quoted(str(former))}")  # `start` gives it the new folder
            if sweep._parent and former.exists():
                remedy = "MLflow's runs belong to that: give it instead"
                raise UserError(f"{sweep._folder} is a copy of {former}, and {remedy}")
        return sweep

    @property
    def run_id(self) -> str | None:
        """The id of the parent run, if there is one."""
        return str(self._parent.info.run_id) if self._parent else None

    @property
    def other_host(self) -> str | None:
        """The name of the machine or container that the parent run was last started on, if it is another one."""
        tags = self._parent.data.tags if self._parent else process_tags()
        return None if tags.get(PLACE) == process_tags()[PLACE] else tags.get(HOST)

    def start(self, name: str, tags: Mapping[str, str]) -> None:
        """Start the parent run, or go on with the one that the folder has."""
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
        """Delete the parent run: it has no trial. Of an experiment that another user made it stays, as KILLED."""
        try:
            self._client.delete_run(self.run_id)
        except MlflowException:
            self.end("KILLED")

    def record(self, metrics: Mapping[str, float], tags: Mapping[str, str], files: Path) -> None:
        """Log what the whole sweep came to: metrics, at a step of their own each time, tags, and a folder of files."""
        for name, value in metrics.items():
            step = len(self._client.get_metric_history(self.run_id, name))
            self._client.log_metric(self.run_id, name, value, step=step)
        for name, text in tags.items():
            self._client.set_tag(self.run_id, name, text)
        self._client.log_artifacts(self.run_id, str(files))

    def trial_tags(self, number: int) -> dict[str, str]:
        """Return tags that make a run a trial of this sweep."""
        return {MLFLOW_PARENT_RUN_ID: self._parent.info.run_id, TRIAL: str(number)} if self._parent else {}

    def extra_tags(self) -> dict[str, str]:
        """Return tags of the sweep that its trials have too, which may run where the repository is not."""
        tags = self._parent.data.tags if self._parent else {}
        return {key: tags[key] for key in (COMMAND, *CODE) if key in tags}

    def wait_for_end(self, number: int, config: str) -> None:
        """Wait some seconds for a trial's process to end its run: its worker, on another machine, was killed."""
        until = time.monotonic() + _END_TIMEOUT_SECONDS
        while (run := self._trial_run(number, config)) and run.info.status == "RUNNING" and time.monotonic() < until:
            self.settle_stale()  # of this machine it is known
            time.sleep(_POLL_SECONDS)

    def trial_run_id(self, number: int, config: str) -> str | None:
        """Return the newest run of a trial with this configuration, by the SHA-256 of its params.yaml."""
        run = self._trial_run(number, config)
        return str(run.info.run_id) if run else None

    def settle(self, number: int, config: str, name: str, status: Status, error: str) -> None:
        """Make the run of a trial whose process is gone say how it ended; one is made where there is none.

        `config` is the SHA-256 of its params.yaml. A status or an error that the run has already stays.
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
        """Mark as KILLED the trials whose process was killed before it could say so."""
        end_stale_runs(self._client, self._experiment)

    def trials(self) -> list[Trial]:
        """Return the newest run of every trial, by number."""
        search = partial(self._client.search_runs, [self._experiment], self._children(), ViewType.ACTIVE_ONLY)
        found = get_results_from_paginated_fn(lambda count, token: search(count, page_token=token), 1000)
        newest = {int(run.data.tags[TRIAL]): run for run in reversed(found)}  # the newest come first
        return [_trial(number, run) for number, run in sorted(newest.items())]

    def mark_pruned(self, trial: Trial, epoch: int) -> Trial:
        """Tag the run of a trial that ended before its search gave up on it, in an epoch before its last one."""
        self._client.set_tag(trial.run_id, PRUNED, str(epoch))
        return replace(trial, pruned=epoch)

    def curve(self, trial: Trial, metric: str) -> list[float]:
        """Return a trial's metric by epoch."""
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
    """Return the trial or other training with this run, or the trials of the sweep with it.

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
    """Return a parameter as it was before `Run.params` made it a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
