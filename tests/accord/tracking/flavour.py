"""An MLflow flavor that needs no machine-learning library."""

from pathlib import Path
from typing import Any

from mlflow.models import Model


class Flavour:
    """A flavor that saves only a model's description, the file MLmodel."""

    @staticmethod
    def save_model(path: str, mlflow_model: Model, **_: Any) -> None:
        Path(path).mkdir()
        mlflow_model.add_flavor("none")
        mlflow_model.save(str(Path(path, "MLmodel")))
