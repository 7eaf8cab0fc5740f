"""The training of one model: what the train stage and every trial of a sweep do."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seqmnist.cells import saved
from seqmnist.cells.model import build
from seqmnist.checkpoints import Checkpoints, training_key
from seqmnist.config import Cell, Config, SplitName
from seqmnist.data.splits import Split, Summary
from seqmnist.paths import model_folder
from seqmnist.process import Terminated
from seqmnist.training.batches import batch_count
from seqmnist.training.history import METRICS, Row
from seqmnist.training.terminal import Watch
from seqmnist.training.trainer import Epoch, Trainer

if TYPE_CHECKING:
    from seqmnist.tracking.runs import RunRequest

_PACKAGE = Path(__file__).parent
# All code that a training's bits depend on, as the train stage's deps in dvc.yaml name it.
CODE = (
    "cells",
    "config.py",
    "data/idx.py",
    "data/splits.py",
    "files.py",
    "metric_names.py",
    "paths.py",
    "randomness.py",
    "settings.py",
    "stages/train.py",
    "training/augmentation.py",
    "training/batches.py",
    "training/graph.py",
    "training/history.py",
    "training/optimizer.py",
    "training/runtime.py",
    "training/trainer.py",
    "trainings.py",
)
_LIBRARIES = ("keras", "numpy", "tensorflow")


@dataclass(frozen=True)
class Training:
    """A cell, a seed and the images that it is trained on.

    Attributes:
        configuration: Configuration whose cell, recipe and sequence view are used.
        cell: Key in `configuration.cells`.
        seed: Seed of weights, batches and moved images.
        data: The three splits.
        summary: Sizes and digests of the splits.
    """

    configuration: Config
    cell: str
    seed: int
    data: Mapping[SplitName, Split]
    summary: Summary

    @property
    def cell_config(self) -> Cell:
        """The configuration of the cell."""
        return self.configuration.cells[self.cell]

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each split."""
        return {name: split["sha256"] for name, split in self.summary.items()}

    @property
    def recipe(self) -> dict[str, object]:
        """All of the configuration that the training depends on, with the cell's own recipe merged."""
        return self.configuration.recipe_of(self.cell, self.seed)

    @property
    def weights(self) -> Path:
        """The path of the trained weights."""
        return saved.weights_file(model_folder(self.cell), self.seed)

    def checkpoints(self, folder: Path) -> Checkpoints:
        """Claim its checkpoints in a folder of checkpoints."""
        code = [_PACKAGE / name for name in CODE]
        key = training_key(self.recipe, self.digests, code, _PACKAGE, _LIBRARIES)
        return Checkpoints(folder / f"{self.cell}-seed-{self.seed}", key)


class Trained(NamedTuple):
    """The history of all epochs, and whether MLflow has all of the training."""

    rows: list[Row]
    is_logged: bool


def train(training: Training, checkpoints: Checkpoints, request: "RunRequest") -> Trained:
    """Train a model in an MLflow run, and save the weights of its best validation epoch.

    Args:
        training: What is trained on what.
        checkpoints: Checkpoints of this training: it resumes from the newest one, in the MLflow run that this names.
        request: The MLflow run, for where no checkpoint names one.
    """
    from seqmnist.runs.training_run import log_epoch, log_inputs, log_results
    from seqmnist.tracking.runs import stage_run

    configuration, name = training.configuration, request.name
    recipe = configuration.train_of(training.cell)
    batches = batch_count(len(training.data["train"]), recipe.batch_size)
    request = replace(request, resume=checkpoints.run_id or request.resume)
    with _saying_how_to_resume(name, checkpoints), stage_run(configuration.tracking, request) as run:
        model = build(training.cell_config, configuration.sequence, training.seed)
        log_inputs(run, training, model)
        with Watch(name, recipe.epochs, batches, first=checkpoints.epochs) as watch:
            trainer = Trainer(
                model,
                training.data,
                recipe,
                seed=training.seed,
                shards=training.cell_config.shards,
                progress=watch.batches,
            )
            listeners: list[Callable[[Epoch], object]] = [
                lambda epoch: checkpoints.save(epoch.logged, trainer, run.id),
                watch.epoch,
                lambda epoch: log_epoch(run, epoch.number, epoch.logged),
            ]
            done = checkpoints.load(trainer)
            for number, metrics in enumerate(done):  # the process may have ended between a checkpoint and MLflow
                log_epoch(run, number, metrics)
            for epoch in trainer.epochs(first=len(done)):
                done.append(epoch.logged)
                for listener in listeners:
                    listener(epoch)
        rows = [Row(training.seed, number, {name: one[name] for name in METRICS}) for number, one in enumerate(done)]
        trainer.select()
        saved.save(model_folder(training.cell), model, training.cell_config, configuration.sequence, training.seed)
        log_results(run, training, model, rows)
    return Trained(rows, run.is_whole)


@contextmanager
def _saying_how_to_resume(name: str, checkpoints: Checkpoints) -> Iterator[None]:
    if checkpoints.is_shared:
        print(f"{name}: another process trains the same; this one keeps no checkpoints", flush=True)
    elif checkpoints.epochs:
        print(f"{name}: resuming at epoch {checkpoints.epochs}", flush=True)
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        how = f"goes on at epoch {checkpoints.epochs}" if checkpoints.epochs else "starts anew: no epoch was over"
        print(f"{name}: stopped; the same command {how}", flush=True)
        raise
