"""The functions that accord calls for trials of a sweep. A trial is a pipeline with one cell and one seed."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accord.paths import PARAMS
from accord.sweep.folders import CHECKPOINTS
from seqmnist import config
from seqmnist.config import validate
from seqmnist.data import splits
from seqmnist.paths import history_file
from seqmnist.report.sweep_figures import draw
from seqmnist.runs import stage_runs

if TYPE_CHECKING:
    from accord.tracking.runs import RunRequest
    from seqmnist.training.setup import Training


sweep_figures = draw


def run_tags(values: dict[str, Any]) -> dict[str, str]:
    """Return the tags of every run with these values of params.yaml.

    Raises:
        UserError: The values are not a valid configuration.
    """
    return stage_runs.data_tags(validate(values, str(PARAMS)).data)


def train(request: "RunRequest", inputs: Path, threads: int) -> tuple[dict[str, float], bool]:
    """Train the model that params.yaml in the working directory describes, and write its outputs there.

    Args:
        request: Request for the trial's MLflow run.
        inputs: Folder of the processed splits.
        threads: Largest number of operations that run in parallel.

    Returns:
        The training's metrics by their MLflow names, and whether MLflow has the complete training.
    """
    from seqmnist.stages.train import train as train_model
    from seqmnist.training import history
    from seqmnist.training.runtime import start_tensorflow

    training = _training(inputs)
    start_tensorflow(min(training.cell_config.shards, threads))
    with training.checkpoints(CHECKPOINTS) as checkpoints:
        rows, is_logged = train_model(training, checkpoints, _of_cell(request, training))
        history.write(history_file(training.cell), rows)
    return history.summary(rows), is_logged


def restore(request: "RunRequest", inputs: Path) -> dict[str, float]:
    """Log what MLflow lacks of a finished trial in the working directory, and return the training's metrics."""
    from seqmnist.runs.training_run import in_mlflow
    from seqmnist.training import history

    training = _training(inputs)
    rows = history.read(history_file(training.cell))
    in_mlflow(training, _of_cell(request, training), rows)
    return history.summary(rows)


def sync() -> None:
    """Log what MLflow lacks of all stages."""
    from seqmnist.runs.restore import restore_stages

    restore_stages()


def _training(inputs: Path) -> "Training":
    from seqmnist.training.setup import Training

    configuration = config.load()
    (cell,), (seed,) = configuration.cells, configuration.seeds
    return Training(configuration, cell, seed, *splits.load_all(inputs))


def _of_cell(request: "RunRequest", training: "Training") -> "RunRequest":
    return replace(request, tags={"cell": training.cell, **request.tags})
