"""Train a model to the end of its recipe, from wherever it stands."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from seqmnist.training import history
from seqmnist.training.checkpoints import Checkpoint, Checkpoints
from seqmnist.training.history import Row
from seqmnist.training.trainer import Epoch, Trainer

if TYPE_CHECKING:
    import keras


def fit(
    trainer: Trainer,
    model: "keras.Model",
    *,
    seed: int,
    keep: Checkpoints,
    last: Checkpoint | None,
    run_id: str,
    report: Callable[[Epoch], object],
) -> list[Row]:
    """Train, and leave the model with the weights of the selected epoch.

    Args:
        trainer: of the model.
        model: what it trains.
        seed: the training's, for its history.
        keep: takes a checkpoint after each epoch.
        last: what to go on from; from the model's own weights if None.
        run_id: the training's MLflow run, kept with the checkpoints.
        report: called after each new epoch, when its checkpoint is there.

    Returns:
        The history of all epochs, of those before `last` too.
    """
    epochs, best = (list(last.epochs), last.best) if last else ([], model.get_weights())
    if last:
        trainer.restore(last.state)
    rows = [Row(seed, epoch.number, epoch.metrics) for epoch in epochs]
    for epoch in trainer.epochs(len(epochs)):
        epochs.append(epoch)
        rows.append(Row(seed, epoch.number, epoch.metrics))
        if history.selected(rows) is rows[-1]:
            best = trainer.weights()
        keep.save(Checkpoint(epochs, trainer.state(), best, run_id))
        report(epoch)
    model.set_weights(best)
    return rows
