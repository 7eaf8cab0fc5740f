"""Train one cell with every configured seed: its weights to models/<cell>, its history to reports/train/<cell>.

Run it as `python -m seqmnist.stages.train lstm`.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from seqmnist import config
from seqmnist.cells import saved
from seqmnist.cells.model import build, exported
from seqmnist.config import Cell, Config
from seqmnist.data import splits
from seqmnist.errors import Terminated, UserError, run_command
from seqmnist.files import sha256_file, sha256_json
from seqmnist.paths import PROCESSED, checkpoints_folder, history_file, model_folder
from seqmnist.training import history
from seqmnist.training.batches import batch_count
from seqmnist.training.checkpoints import Checkpoint, Checkpoints, training_key
from seqmnist.training.fitting import fit
from seqmnist.training.history import Row
from seqmnist.training.runtime import start_tensorflow
from seqmnist.training.terminal import Watch
from seqmnist.training.trainer import Epoch, Trainer

if TYPE_CHECKING:
    import keras

    from seqmnist.tracking.runs import Run


def main() -> None:
    """Run the stage for the cell named on the command line."""
    configuration = config.load()
    cell = _cell_argument(configuration)
    data = {name: splits.load(PROCESSED, name) for name in splits.NAMES}
    start_tensorflow(configuration.cells[cell].shards)
    trainings = [Training(configuration, cell, seed, data) for seed in configuration.seeds]
    with ExitStack() as held:
        kept = [held.enter_context(training.checkpoints()) for training in trainings]
        rows: list[Row] = []
        for training, keep in zip(trainings, kept, strict=True):
            rows += train_seed(training, keep)
            history.write(history_file(cell), rows)
        for keep in kept:  # DVC runs an interrupted stage without its outputs: until now all seeds need theirs
            keep.remove()


@dataclass(frozen=True)
class Training:
    """The training of one model: a cell of the configuration, a seed, the data."""

    configuration: Config
    cell: str
    seed: int
    data: dict[config.SplitName, splits.Split]

    @property
    def name(self) -> str:
        """The stage's name in DVC, with the seed where there are several."""
        return f"train@{self.cell}" + (f" seed={self.seed}" if len(self.configuration.seeds) > 1 else "")

    @property
    def model(self) -> Cell:
        """The configuration of the cell."""
        return self.configuration.cells[self.cell]

    @cached_property
    def summary(self) -> splits.Summary:
        """Sizes and digests of the splits."""
        return splits.summary(self.data)

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each split."""
        return {name: split["sha256"] for name, split in self.summary.items()}

    @property
    def recipe(self) -> dict[str, object]:
        """All of the configuration that the training depends on."""
        return recipe(self.configuration, self.cell, self.seed)

    def checkpoints(self) -> Checkpoints:
        """Claim its checkpoints."""
        folder = checkpoints_folder() / f"{self.cell}-seed-{self.seed}"
        return Checkpoints(folder, training_key(self.recipe, self.digests))


def train_seed(training: Training, keep: Checkpoints) -> list[Row]:
    """Train one model in an MLflow run of its own and save the weights of its best validation epoch."""
    from seqmnist.tracking.runs import stage_run

    configuration = training.configuration
    if keep.is_shared:
        print(f"{training.name}: another process trains the same; this one keeps no checkpoints", flush=True)
    last = keep.load()
    run_id = last.run_id if last else None
    with (
        _saying_how_to_go_on(training.name, keep),
        stage_run(configuration, "train", training.name, {"cell": training.cell}, resume=run_id) as run,
    ):
        run.params(run_parameters(configuration, training.cell, training.seed))
        run.splits(configuration.data, training.summary)
        model = build(training.model, configuration.sequence, training.seed)
        run.graph(model)
        rows = _fit(training, model, keep, last, run)
        _save(training, model, rows, run)
    return rows


def _fit(training: Training, model: "keras.Model", keep: Checkpoints, last: Checkpoint | None, run: "Run") -> list[Row]:
    """Train the model from its last checkpoint on, reporting every epoch to the terminal and to MLflow."""
    train, done = training.configuration.train_of(training.cell), list(last.epochs) if last else []
    batches = batch_count(len(training.data["train"]), train.batch_size)
    if last:
        print(f"{training.name}: resuming at epoch {len(done)}", flush=True)
    for epoch in done:  # the process may have ended between a checkpoint and its report
        _log(run, epoch)
    with Watch(training.name, train.epochs, batches, first=len(done)) as watch:
        trainer = Trainer(
            model, training.data, train, seed=training.seed, shards=training.model.shards, progress=watch.batches
        )

        def report(epoch: Epoch) -> None:
            watch.epoch(epoch)
            _log(run, epoch)

        return fit(trainer, model, seed=training.seed, keep=keep, last=last, run_id=run.id, report=report)


def _log(run: "Run", epoch: Epoch) -> None:
    speed = {"time.epoch_seconds": epoch.seconds, "time.examples_per_second": epoch.examples_per_second}
    run.metrics(epoch.metrics | speed, step=epoch.number)


def _save(training: Training, model: "keras.Model", rows: list[Row], run: "Run") -> None:
    """Save the selected weights, and tell MLflow what came out."""
    sequence = training.configuration.sequence
    weights = saved.save(model_folder(training.cell), model, training.model, sequence, training.seed)
    run.metrics(history.summary(rows))
    run.model(exported(model, training.model, sequence), training.data["test"].images[:1])
    identity = sha256_file(weights)
    content = {
        "model": identity,
        "history": [[row.epoch, row.metrics] for row in rows],
        "recipe": training.recipe,
        "data": training.digests,
    }
    run.tags({"model.sha256": identity, "train.sha256": sha256_json(content)})


@contextmanager
def _saying_how_to_go_on(name: str, keep: Checkpoints) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        how = f"goes on at epoch {keep.epochs}" if keep.epochs else "starts anew: no epoch was over"
        print(f"{name}: stopped; the same command {how}", flush=True)
        raise


def recipe(configuration: Config, cell: str, seed: int) -> dict[str, object]:
    """All of the configuration that a cell's training depends on, with the recipe merged."""
    described = configuration.cells[cell].model_dump(exclude={"train"})
    return {
        "cell": described,
        "train": configuration.train_of(cell).model_dump(),
        "sequence": configuration.sequence.model_dump(),
        "seed": seed,
    }


def run_parameters(configuration: Config, cell: str, seed: int) -> dict[str, object]:
    """The recipe and the data set: the same names for every cell, so that MLflow compares them line by line."""
    data = configuration.data.model_dump(include={"name", "validation", "counts"})
    return recipe(configuration, cell, seed) | {"data": data}


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
    run_command(main)
