"""Log trained models."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from mlflow import MlflowClient
from mlflow.models import Model


def log_model(run_id: str, flavor: Any, step: int, libraries: Iterable[str], **arguments: Any) -> None:
    """Log a model into a run.

    Args:
        run_id: Id of the run.
        flavor: Module of MLflow's for the kind of model, such as `mlflow.sklearn`.
        step: Epoch of the model, which gets the run's metrics of this step, and no others.
        libraries: Names of the distributions that the model needs, whose present versions are written down: MLflow
            would infer them by loading the model in another process, for seconds.
        arguments: Further arguments of the flavor's `save_model`, the model among them.
    """
    client = MlflowClient()
    run = client.get_run(run_id)
    made = client.create_logged_model(run.info.experiment_id, "model", run_id, params=run.data.params)
    pins = [f"{name}=={version(name)}" for name in libraries]
    options = {"flavor": flavor, "model_id": made.model_id, "pip_requirements": pins, **arguments}
    Model.log(artifact_path=None, run_id=run_id, step=step, **options)
