"""Train one cell with every configured seed. Weights go to models/<cell>, the history to reports/train/<cell>.

Run it as `python -m seqmnist.stages.train lstm`.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from accord.checkpoints import Checkpoints
from accord.cores import Share, share
from accord.errors import UserError
from accord.experiments import run_stage
from accord.paths import repository
from seqmnist import config
from seqmnist.cells import saved
from seqmnist.cells.model import build
from seqmnist.config import Config
from seqmnist.data import splits
from seqmnist.paths import PROCESSED, history_file, model_folder
from seqmnist.training import history, side_by_side
from seqmnist.training.batches import batch_count
from seqmnist.training.history import METRICS, Row
from seqmnist.training.runtime import start_tensorflow
from seqmnist.training.setup import Training
from seqmnist.training.terminal import Watch

if TYPE_CHECKING:
    from accord.tracking.runs import RunRequest
    from seqmnist.training.trainer import Epoch

_WORKER_BYTES = 1_300_000_000  # memory of a training process: 1.1 GB with 55,000 images, and a reserve


def train(
    training: Training, checkpoints: Checkpoints, request: "RunRequest", watch: Callable[..., Watch] = Watch
) -> tuple[list[Row], bool]:
    """Train a model in an MLflow run, and save the weights of its best validation epoch.

    Args:
        training: Cell, seed and images.
        checkpoints: Checkpoints of this training. It resumes from the newest one, in the MLflow run that this names.
        request: Request for the MLflow run, used where no checkpoint names a run.
        watch: Function that makes the training's display, as `Watch` does.

    Returns:
        The history of all epochs, and whether MLflow has all of the training.
    """
    from accord.tracking.runs import stage_run
    from seqmnist.runs.training_run import log_inputs, log_results
    from seqmnist.training.trainer import Trainer

    configuration, name = training.configuration, request.name
    recipe = configuration.train_of(training.cell)
    batches = batch_count(len(training.data["train"]), recipe.batch_size)
    request = request.resumed(checkpoints.run_id)
    with checkpoints.announced(name), stage_run(configuration.tracking, request) as run:
        model = build(training.cell_config, configuration.sequence, training.seed)
        log_inputs(run, training, model)
        with watch(name, recipe.epochs, batches, first=checkpoints.epochs) as shown:
            shards = training.cell_config.shards
            trainer = Trainer(model, training.data, recipe, seed=training.seed, shards=shards, progress=shown.batches)
            listeners: list[Callable[[Epoch], object]] = [
                lambda epoch: checkpoints.save(epoch.logged, trainer, run.id),
                shown.epoch,
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
    seeds, shards = configuration.seeds, configuration.cells[cell].shards
    shared = Share(1, shards)
    if len(seeds) > 1:
        wanted = None if configuration.workers == "auto" else configuration.workers
        shared = share(wanted, jobs=len(seeds), most=shards, memory=_WORKER_BYTES)

    def finish(trained: list[list[Row]]) -> None:
        history.write(history_file(cell), [row for rows in trained for row in rows])

    def in_turn() -> Iterator[int]:
        yield from seeds
        finish(trained)

    work = partial(train_seeds, configuration, cell, shared.threads)
    if shared.workers > 1:
        side_by_side.run(work, seeds, shared.workers, finish)
    else:
        trained: list[list[Row]] = []
        work(in_turn(), trained.append, Watch)


def train_seeds(
    configuration: Config,
    cell: str,
    threads: int,
    seeds: Iterable[int],
    done: Callable[[list[Row]], None],
    watch: Callable[..., Watch],
) -> None:
    """Train seeds as they come, and remove their checkpoints at the end.

    DVC runs an interrupted stage again without its outputs, so every seed needs its checkpoint until the stage is done.
    It is done when no more seeds come.

    Args:
        configuration: Configuration of the pipeline.
        cell: Key of the cell.
        threads: Number of operations that run side by side.
        seeds: Seeds as they come.
        done: Function that gets the history of each training.
        watch: Function that makes a training's display.
    """
    data, summary = splits.load_all(PROCESSED)
    start_tensorflow(threads)
    from seqmnist.runs.training_run import request

    with ExitStack() as held:
        kept: list[Checkpoints] = []
        for seed in seeds:
            training = Training(configuration, cell, seed, data, summary)
            kept.append(held.enter_context(training.checkpoints(repository() / "checkpoints")))
            done(train(training, kept[-1], request(training), watch)[0])
        for checkpoints in kept:
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
