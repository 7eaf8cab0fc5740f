"""A trial of a sweep as the experiment sees it: a pipeline with one cell and one seed, in a folder of its own."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from seqmnist import config
from seqmnist.data import splits
from seqmnist.paths import history_file
from seqmnist.projects import Outcome
from seqmnist.sweep.folders import CHECKPOINTS
from seqmnist.training import history
from seqmnist.training.runtime import start_tensorflow
from seqmnist.trainings import Training
from seqmnist.trainings import train as train_model

if TYPE_CHECKING:
    from seqmnist.tracking.runs import RunRequest


def train(request: "RunRequest", inputs: Path, threads: int) -> Outcome:
    """Train what the working directory's params.yaml describes, and leave its outputs there.

    Args:
        request: The trial's MLflow run.
        inputs: Folder of the processed splits.
        threads: Operations that may run side by side.
    """
    training = _training(inputs)
    start_tensorflow(min(training.cell_config.shards, threads))
    with training.checkpoints(CHECKPOINTS) as checkpoints:
        rows, is_logged = train_model(training, checkpoints, _of_cell(request, training))
        history.write(history_file(training.cell), rows)
    return Outcome(history.selected(rows).epoch, history.summary(rows), is_logged)


def restore(request: "RunRequest", inputs: Path) -> None:
    """Log what MLflow lacks of a finished trial in the working directory."""
    from seqmnist.runs.training_run import in_mlflow

    training = _training(inputs)
    in_mlflow(training, _of_cell(request, training), history.read(history_file(training.cell)))


def _training(inputs: Path) -> Training:
    configuration = config.load()
    (cell,), (seed,) = configuration.cells, configuration.seeds
    return Training(configuration, cell, seed, *splits.load_all(inputs))


def _of_cell(request: "RunRequest", training: Training) -> "RunRequest":
    return replace(request, tags={"cell": training.cell, **request.tags})
