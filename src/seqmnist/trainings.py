"""The training of one model in an MLflow run of its own: what the train stage and every trial of a sweep do."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seqmnist.cells import saved
from seqmnist.cells.model import build, exported
from seqmnist.config import Cell, Config, SplitName
from seqmnist.data.splits import Split, Summary
from seqmnist.files import sha256_file, sha256_json
from seqmnist.paths import model_folder
from seqmnist.process import Terminated
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

    from seqmnist.tracking.away import ServerAway
    from seqmnist.tracking.runs import Run


@dataclass(frozen=True)
class Training:
    """What is trained on what.

    Attributes:
        configuration: whose cell, recipe and sequence view are used.
        cell: the key in `configuration.cells`.
        seed: of weights, batches and moved images.
        data: the three splits.
        summary: their sizes and digests.
        name: of the MLflow run, and in what is printed.
        tags: of the MLflow run, beside those of every run.
        notes: further tags of it, by which it is not looked for.
        later: what sends the rest when the tracking server is away, for people; that of the pipeline if None.
    """

    configuration: Config
    cell: str
    seed: int
    data: Mapping[SplitName, Split]
    summary: Summary
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    later: str | None = None

    @property
    def model(self) -> Cell:
        """The configuration of the cell."""
        return self.configuration.cells[self.cell]

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each split."""
        return {name: split["sha256"] for name, split in self.summary.items()}

    @property
    def recipe(self) -> dict[str, object]:
        """All of the configuration that the training depends on."""
        return recipe(self.configuration, self.cell, self.seed)

    @property
    def weights(self) -> Path:
        """Where the trained weights are saved."""
        return saved.weights_file(model_folder(self.cell), self.seed)

    def checkpoints(self, folder: Path) -> Checkpoints:
        """Claim its checkpoints in a folder of checkpoints."""
        return Checkpoints(folder / f"{self.cell}-seed-{self.seed}", training_key(self.recipe, self.digests))

    def identity(self, rows: list[Row]) -> dict[str, str]:
        """Tags that say what came out: the digest of the weights, and that of weights, history, recipe and data."""
        model = sha256_file(self.weights)
        content = {
            "model": model,
            "history": [[row.epoch, row.metrics] for row in rows],
            "recipe": self.recipe,
            "data": self.digests,
        }
        return {"model.sha256": model, "train.sha256": sha256_json(content)}


def of_stage(configuration: Config, cell: str, data: Mapping[SplitName, Split], summary: Summary) -> list[Training]:
    """The trainings of the stage train@<cell>: one for each seed, named as the stage, with the seed if several."""
    several = len(configuration.seeds) > 1
    names = {seed: f"train@{cell}" + (f" seed={seed}" if several else "") for seed in configuration.seeds}
    return [Training(configuration, cell, seed, data, summary, name) for seed, name in names.items()]


class Trained(NamedTuple):
    """The history of all epochs, and whether MLflow has all of the training."""

    rows: list[Row]
    is_logged: bool


def train(
    training: Training, keep: Checkpoints, resume: str | None = None, away: "ServerAway | None" = None
) -> Trained:
    """Train a model and save the weights of its best validation epoch.

    Args:
        training: which.
        keep: its checkpoints: it goes on from the last of them, in the MLflow run that this one names.
        resume: the id of the MLflow run to go on with where no checkpoint has one.
        away: says that the tracking server is known to be away.
    """
    from seqmnist.tracking.runs import LATER, stage_run

    if keep.is_shared:
        print(f"{training.name}: another process trains the same; this one keeps no checkpoints", flush=True)
    last = keep.load()
    tags = {"cell": training.cell, **training.tags, **training.notes}
    run_id = (last.run_id if last else None) or resume
    later = training.later or LATER
    sequence = training.configuration.sequence
    with (
        _saying_how_to_go_on(training.name, keep),
        stage_run(training.configuration, "train", training.name, tags, resume=run_id, later=later, away=away) as run,
    ):
        model = build(training.model, sequence, training.seed)
        _log_inputs(training, run, model)
        rows = _fit(training, model, keep, last, run)
        saved.save(model_folder(training.cell), model, training.model, sequence, training.seed)
        _log_results(training, run, model, rows)
    return Trained(rows, run.is_whole)


def in_mlflow(training: Training, rows: list[Row]) -> str:
    """The id of the MLflow run of a training whose outputs are here; one is made of them where there is none."""
    from seqmnist.tracking.lineage import found_or_restored

    def log(run: "Run") -> None:
        if "tensorflow" not in sys.modules:  # seconds, and only where something is missing
            start_tensorflow(training.model.shards)
        model, _ = saved.load(model_folder(training.cell), training.seed)
        _log_inputs(training, run, model)
        for row in rows:
            run.metrics(row.metrics, step=row.epoch)
        _log_results(training, run, model, rows)

    tags = {"cell": training.cell, **training.tags}
    identity = training.identity(rows)
    return found_or_restored(training.configuration, "train", training.name, identity, log, tags, training.notes)


def _log_inputs(training: Training, run: "Run", model: "keras.Model") -> None:
    run.params(run_parameters(training.configuration, training.cell, training.seed))
    run.splits(training.configuration.data, training.summary)
    run.graph(model)


def _log_results(training: Training, run: "Run", model: "keras.Model", rows: list[Row]) -> None:
    best, last = history.selected(rows), rows[-1]
    run.metrics(history.figures("selected", best), step=best.epoch)
    keras_model = exported(model, training.model, training.configuration.sequence)
    run.model(keras_model, training.data["test"].images[:1], step=best.epoch)
    run.metrics(history.figures("last", last), step=last.epoch)  # after the model, which would take them
    run.tags(training.identity(rows))


def _fit(training: Training, model: "keras.Model", keep: Checkpoints, last: Checkpoint | None, run: "Run") -> list[Row]:
    """Train the model from its last checkpoint on, reporting every epoch to the terminal and to MLflow."""
    recipe, done = training.configuration.train_of(training.cell), list(last.epochs) if last else []
    batches = batch_count(len(training.data["train"]), recipe.batch_size)
    if last:
        print(f"{training.name}: resuming at epoch {len(done)}", flush=True)
    for epoch in done:  # the process may have ended between a checkpoint and its report
        _log(run, epoch)
    with Watch(training.name, recipe.epochs, batches, first=len(done)) as watch:
        trainer = Trainer(
            model, training.data, recipe, seed=training.seed, shards=training.model.shards, progress=watch.batches
        )

        def report(epoch: Epoch) -> None:
            watch.epoch(epoch)
            _log(run, epoch)

        return fit(trainer, model, seed=training.seed, keep=keep, last=last, run_id=run.id, report=report)


def _log(run: "Run", epoch: Epoch) -> None:
    speed = {"time.epoch_seconds": epoch.seconds, "time.examples_per_second": epoch.examples_per_second}
    run.metrics(epoch.metrics | speed, step=epoch.number)


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
