"""Train one cell with every configured seed: its weights to models/<cell>, its history to reports/train/<cell>.

Run it as `python -m seqmnist.stages.train lstm`.
"""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from accord.checkpoints import Checkpoints
from accord.errors import UserError
from accord.experiments import run_stage
from accord.paths import repository
from seqmnist import config
from seqmnist.cells import saved
from seqmnist.cells.model import build
from seqmnist.config import Config
from seqmnist.data import splits
from seqmnist.paths import PROCESSED, history_file, model_folder
from seqmnist.training import history
from seqmnist.training.batches import batch_count
from seqmnist.training.history import METRICS, Row
from seqmnist.training.runtime import start_tensorflow
from seqmnist.training.setup import Training

if TYPE_CHECKING:
    from accord.tracking.runs import RunRequest
    from seqmnist.training.trainer import Epoch


def train(training: Training, checkpoints: Checkpoints, request: "RunRequest") -> tuple[list[Row], bool]:
    """Train a model in an MLflow run, and save the weights of its best validation epoch.

    Args:
        training: The cell, its seed and the images.
        checkpoints: Checkpoints of this training: it resumes from the newest one, in the MLflow run that this names.
        request: The MLflow run, for where no checkpoint names one.

    Returns:
        The history of all epochs, and whether MLflow has all of the training.
    """
    from accord.tracking.runs import stage_run
    from seqmnist.runs.training_run import log_inputs, log_results
    from seqmnist.training.terminal import Watch
    from seqmnist.training.trainer import Trainer

    configuration, name = training.configuration, request.name
    recipe = configuration.train_of(training.cell)
    batches = batch_count(len(training.data["train"]), recipe.batch_size)
    request = request.resumed(checkpoints.run_id)
    with checkpoints.announced(name), stage_run(configuration.tracking, request) as run:
        model = build(training.cell_config, configuration.sequence, training.seed)
        log_inputs(run, training, model)
        with Watch(name, recipe.epochs, batches, first=checkpoints.epochs) as watch:
            shards = training.cell_config.shards
            trainer = Trainer(model, training.data, recipe, seed=training.seed, shards=shards, progress=watch.batches)
            listeners: list[Callable[[Epoch], object]] = [
                lambda epoch: checkpoints.save(epoch.logged, trainer, run.id),
                watch.epoch,
                lambda epoch: run.metrics(epoch.logged, step=epoch.number),
            ]
            done = checkpoints.load(trainer)
            for number, metrics in enumerate(done):  # the process may have ended between a checkpoint and MLflow
                run.metrics(metrics, step=number)
            for epoch in trainer.epochs(first=len(done)):
                done.append(epoch.logged)
                for listener in listeners:
                    listener(epoch)
        rows = [Row(training.seed, number, {name: one[name] for name in METRICS}) for number, one in enumerate(done)]
        trainer.select()
        saved.save(model_folder(training.cell), model, training.cell_config, configuration.sequence, training.seed)
        log_results(run, training, model, rows)
    return rows, run.is_whole


def main() -> None:
    """Run the stage for the cell named on the command line."""
    configuration = config.load()
    cell = _cell_argument(configuration)
    data, summary = splits.load_all(PROCESSED)
    trainings = [Training(configuration, cell, seed, data, summary) for seed in configuration.seeds]
    start_tensorflow(configuration.cells[cell].shards)
    from seqmnist.runs.training_run import request

    with ExitStack() as held:
        kept = [held.enter_context(training.checkpoints(repository() / "checkpoints")) for training in trainings]
        rows: list[Row] = []
        for training, checkpoints in zip(trainings, kept, strict=True):
            rows += train(training, checkpoints, request(training))[0]
            history.write(history_file(cell), rows)
        for checkpoints in kept:  # DVC runs an interrupted stage without its outputs: until now all seeds need theirs
            checkpoints.remove()


def _cell_argument(configuration: Config) -> str:
    cells = ", ".join(configuration.cells)
    match sys.argv[1:]:
        case [cell] if cell in configuration.cells:
            return cell
        case [cell]:
            raise UserError(f"{cell!r} is no configured cell: conf/config.yaml has {cells}")
        case _:
            raise UserError(f"name one cell: python -m seqmnist.stages.train CELL, where CELL is one of {cells}")


if __name__ == "__main__":
    run_stage(main)
