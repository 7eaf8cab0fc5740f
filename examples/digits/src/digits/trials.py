"""Functions that accord calls, for the trials of a sweep and for `digits sync`."""

from pathlib import Path

from accord import history
from accord.settings import load
from accord.tracking.runs import RunRequest
from digits import runs
from digits.config import Config
from digits.train import train as train_model


def train(request: RunRequest, inputs: Path, _threads: int) -> tuple[dict[str, float], bool]:
    """Train the trial in the working directory; return its best epoch, and whether MLflow has the whole run."""
    config = load(Config)
    stage = runs.train(config, next(iter(config.models)), inputs, request)
    is_logged = train_model(config, stage)
    return history.selected(stage.outputs[1]), is_logged


def restore(request: RunRequest, inputs: Path) -> dict[str, float]:
    """Log the parts that MLflow lacks of the finished trial in the working directory; return its best epoch."""
    config = load(Config)
    stage = runs.train(config, next(iter(config.models)), inputs, request)
    stage.in_mlflow()
    return history.selected(stage.outputs[1])


def sync() -> None:
    """Log the runs that MLflow lacks of all stages, and register the models."""
    config = load(Config)
    runs.prepare(config).in_mlflow()
    runs.evaluate(config).in_mlflow()
    print(runs.register(config))
