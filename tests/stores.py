"""Runs in the local MLflow store of a project, read by MLflow's own client."""

import mlflow
from mlflow.entities import Run

from tests.projects import Project

# A program that prints, of the store in its working directory, the metrics of each model as [name, value, step], and
# the folder of each data set by name.
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


def client_of(project: Project) -> mlflow.MlflowClient:
    """Return a client of the project's own database."""
    return mlflow.MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")


def runs_in(project: Project, experiment: str, **tags: str) -> list[Run]:
    """Return the runs of an experiment, which must be there, with these tags, newest first."""
    client = client_of(project)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    condition = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    return list(client.search_runs([found.experiment_id], condition))


def runs_by_name(project: Project, experiment: str) -> dict[str, Run]:
    """Return the runs of an experiment by name, of which there must be one each."""
    found = runs_in(project, experiment)
    assert len({run.info.run_name for run in found}) == len(found), [run.info.run_name for run in found]
    return {str(run.info.run_name): run for run in found}


def curve(project: Project, run: Run, metric: str) -> list[tuple[int, float]]:
    """Return step and value of each point of a metric."""
    return [(point.step, point.value) for point in client_of(project).get_metric_history(run.info.run_id, metric)]
