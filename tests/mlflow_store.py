"""Queries of the MLflow store in a project's folder."""

import urllib.parse
from pathlib import Path

import mlflow
from mlflow.entities import Run

from tests.projects import Project

PARENT = "mlflow.parentRunId"
# Program that prints, for the store in its working directory, the metrics of each model as [name, value, step], and the
# folder of each data set by name.
LOOK = """
import json, mlflow, mlflow.data
from mlflow import MlflowClient
client = MlflowClient("sqlite:///mlflow.db")
ids = [one.experiment_id for one in client.search_experiments()]
models = [[(m.key, m.value, m.step) for m in one.metrics] for one in client.search_logged_models(ids)]
runs = client.search_runs(ids)
sources = {i.dataset.name: mlflow.data.get_source(i).load() for run in runs for i in run.inputs.dataset_inputs}
print(json.dumps([models, sources]))
"""


def client(project: Project) -> mlflow.MlflowClient:
    """Return an MLflow client of the project's local store."""
    return mlflow.MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")


def runs(project: Project, experiment: str, condition: str = "") -> list[Run]:
    """Return the runs of an experiment that match a filter of MLflow, newest first; [] if the experiment is missing."""
    store = client(project)
    found = store.get_experiment_by_name(experiment)
    return list(store.search_runs([found.experiment_id], condition)) if found else []


def steps(project: Project, run: Run, metric: str) -> list[int]:
    """Return the steps of a run's metric, in the order of logging."""
    return [point.step for point in client(project).get_metric_history(run.info.run_id, metric)]


def parent_and_trials(project: Project, experiment: str) -> tuple[Run, dict[str, Run]]:
    """Return the run of an experiment's only sweep, and the runs of its trials by name."""
    found = runs(project, experiment)
    (parent,) = [run for run in found if PARENT not in run.data.tags]
    trials = [run for run in found if run.data.tags.get(PARENT) == parent.info.run_id]
    assert len({run.info.run_name for run in trials}) == len(trials)
    return parent, {str(run.info.run_name): run for run in trials}


def artifacts(run: Run) -> Path:
    """Return the folder of a run's artifacts in a local store."""
    return Path(urllib.parse.unquote(urllib.parse.urlsplit(run.info.artifact_uri).path))


def runs_in(project: Project, experiment: str, **tags: str) -> list[Run]:
    """Return the runs of an experiment that have these tags, newest first; the experiment must exist."""
    assert client(project).get_experiment_by_name(experiment) is not None
    return runs(project, experiment, " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items()))


def runs_by_name(project: Project, experiment: str) -> dict[str, Run]:
    """Return the runs of an experiment by name; names must be unique."""
    found = runs_in(project, experiment)
    assert len({run.info.run_name for run in found}) == len(found), [run.info.run_name for run in found]
    return {str(run.info.run_name): run for run in found}


def curve(project: Project, run: Run, metric: str) -> list[tuple[int, float]]:
    """Return the step and the value of each point of a run's metric."""
    return [(point.step, point.value) for point in client(project).get_metric_history(run.info.run_id, metric)]
