"""A kind of model that has no library."""

from pathlib import Path
from typing import Any

from mlflow.models import Model


class Flavour:
    """Saves nothing but the description of a model."""

    @staticmethod
    def save_model(path: str, mlflow_model: Model, **_: Any) -> None:
        Path(path).mkdir()
        mlflow_model.add_flavor("none")
        mlflow_model.save(str(Path(path, "MLmodel")))
