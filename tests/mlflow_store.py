"""What the MLflow store beside a project holds."""

import urllib.parse
from pathlib import Path

import mlflow
from mlflow.entities import Run

from tests.projects import Project

PARENT = "mlflow.parentRunId"


def client(project: Project) -> mlflow.MlflowClient:
    """Return a client of the project's local store."""
    return mlflow.MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")


def runs(project: Project, experiment: str, condition: str = "") -> list[Run]:
    """Return the runs of an experiment that meet a condition of MLflow's, the newest first; [] without experiment."""
    store = client(project)
    found = store.get_experiment_by_name(experiment)
    return list(store.search_runs([found.experiment_id], condition)) if found else []


def steps(project: Project, run: Run, metric: str) -> list[int]:
    """Return the steps at which a run has a metric, in the order of logging."""
    return [point.step for point in client(project).get_metric_history(run.info.run_id, metric)]


def parent_and_trials(project: Project, experiment: str) -> tuple[Run, dict[str, Run]]:
    """Return the own run of an experiment's one sweep, and those of its trials by name."""
    found = runs(project, experiment)
    (parent,) = [run for run in found if PARENT not in run.data.tags]
    trials = [run for run in found if run.data.tags.get(PARENT) == parent.info.run_id]
    assert len({run.info.run_name for run in trials}) == len(trials)
    return parent, {str(run.info.run_name): run for run in trials}


def artifacts(run: Run) -> Path:
    """Return the folder of a run's artifacts in a local store."""
    return Path(urllib.parse.unquote(urllib.parse.urlsplit(run.info.artifact_uri).path))
