"""Log trained models into MLflow runs."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from mlflow import MlflowClient
from mlflow.models import Model


def log_model(run_id: str, flavor: Any, step: int, libraries: Iterable[str], **arguments: Any) -> None:
    """Log a model into a run.

    Args:
        run_id: Id of the run.
        flavor: MLflow's module for the kind of model, such as `mlflow.sklearn`.
        step: Epoch of the model. MLflow attaches the run's metrics of this step to it.
        libraries: Names of the distributions that the model needs. Their installed versions become its requirements;
            MLflow would infer them by loading the model in another process, which takes seconds.
        arguments: Further arguments of the flavor's `save_model`, including the model.
    """
    client = MlflowClient()
    run = client.get_run(run_id)
    made = client.create_logged_model(run.info.experiment_id, "model", run_id, params=run.data.params)
    pins = [f"{name}=={version(name)}" for name in libraries]
    options = {"flavor": flavor, "model_id": made.model_id, "pip_requirements": pins, **arguments}
    Model.log(artifact_path=None, run_id=run_id, step=step, **options)
