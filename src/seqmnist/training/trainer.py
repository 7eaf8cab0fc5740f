"""Train one model, epoch by epoch."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seqmnist.config import SplitName, Train
from seqmnist.data.splits import Split
from seqmnist.errors import UserError
from seqmnist.training.augmentation import epoch_maps
from seqmnist.training.batches import Batches, epoch_batches
from seqmnist.training.graph import ScoringGraph, TrainingGraph
from seqmnist.training.optimizer import step_values

if TYPE_CHECKING:
    import keras

_CALL_SECONDS = 0.4  # how long a graph call should last: between calls Python can stop


class DivergedError(UserError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave: the metrics of history.csv by name, and how long the training part took."""

    number: int
    metrics: dict[str, float]
    seconds: float
    examples_per_second: float


class Trainer:
    """Trains a model by a recipe; the same arguments give the same bits on the same machine."""

    def __init__(
        self,
        model: "keras.Model",
        splits: Mapping[SplitName, Split],
        recipe: Train,
        *,
        seed: int,
        shards: int,
        progress: Callable[[int], object],
    ) -> None:
        """Trace the graphs.

        Args:
            model: images uint8 [n, 28, 28] -> logits [n, 10]; trained in place.
            splits: train, validation and test.
            recipe: how to train.
            seed: of the order of the images, and of how they are moved.
            shards: parts of a batch that run side by side.
            progress: called with the number of batches done after each graph call.
        """
        self._splits, self._recipe, self._seed, self._progress = splits, recipe, seed, progress
        self._training = TrainingGraph(model, splits["train"], recipe, shards)
        self._scoring = ScoringGraph(model, shards)
        self._calls = _CallLength()

    def epochs(self, first: int = 0) -> Iterator[Epoch]:
        """Train the recipe's epochs from `first` on, one at each step of the iteration.

        Raises:
            DivergedError: a batch's loss, or that of the validation images after an epoch, is not a number.
        """
        for number in range(first, self._recipe.epochs):
            yield self._epoch(number)

    def weights(self) -> list[NDArray[np.float32]]:
        """The weights that the last epoch's scores are of: the model's, or their moving averages."""
        return self._training.weights()

    def state(self) -> list[NDArray[np.float32]]:
        """All that the next epoch depends on beside its number."""
        return self._training.state()

    def restore(self, state: list[NDArray[np.float32]]) -> None:
        """Take over what `state` gave, here or in another process."""
        self._training.restore(state)

    def _epoch(self, number: int) -> Epoch:
        train = self._splits["train"]
        batches = epoch_batches(len(train), self._recipe.batch_size, self._seed, number)
        start = time.perf_counter()
        loss, accuracy = self._train(number, batches)
        seconds = time.perf_counter() - start
        with self._training.averaged():
            metrics = {"train.loss": loss, "train.accuracy": accuracy} | self._scores(number, batches)
        return Epoch(number, metrics, seconds, len(train) / seconds)

    def _scores(self, number: int, batches: Batches) -> dict[str, float]:
        """Of the last training batch, unmoved, and of validation and test images."""
        train, last = self._splits["train"], batches.order[batches.bounds[-2] :]
        metrics = {}
        metrics["train.last_batch_accuracy"] = self._scoring.score(Split(train.images[last], train.labels[last]))[1]
        metrics["val.loss"], metrics["val.accuracy"] = self._scoring.score(self._splits["validation"])
        if not np.isfinite(metrics["val.loss"]):  # the last update can be the one that diverges
            raise self._diverged(metrics["val.loss"], f"on the validation images after epoch {number}")
        metrics["test.loss"], metrics["test.accuracy"] = self._scoring.score(self._splits["test"])
        return metrics

    def _train(self, number: int, batches: Batches) -> tuple[float, float]:
        """Train one epoch; its mean loss and accuracy, each batch's before its update."""
        total = len(batches) * self._recipe.epochs
        maps = epoch_maps(self._recipe, len(batches.order), self._seed, number)
        losses, right, done = [], 0, 0
        while done < len(batches):
            stop = min(done + self._calls.batches, len(batches))
            steps = number * len(batches) + np.arange(done, stop)
            bounds = batches.bounds[done : stop + 1]
            values = step_values(self._recipe, steps, total)
            with self._calls.measured(stop - done):
                chunk_losses, chunk_right = self._training.run(batches.order, bounds, values, maps)
            if not np.isfinite(chunk_losses).all():
                bad = int(np.argmin(np.isfinite(chunk_losses)))
                raise self._diverged(chunk_losses[bad], f"in epoch {number}, batch {done + bad}")
            losses.append(chunk_losses)
            right += int(chunk_right.sum())
            self._progress(stop - done)
            done = stop
        sizes = np.diff(batches.bounds)
        loss = float(np.average(np.concatenate(losses).astype(np.float64), weights=sizes))
        return loss, right / len(batches.order)

    def _diverged(self, loss: float, where: str) -> DivergedError:
        rate = f"lower learning_rate (now {self._recipe.learning_rate:g}) or set clip_norm"
        return DivergedError(f"training diverged: the loss is {loss} {where}; {rate} in train, or in the cell's own")


class _CallLength:
    """How many batches a graph call takes, so that it lasts about `_CALL_SECONDS`. No result depends on it."""

    def __init__(self) -> None:
        self.batches = 1

    @contextmanager
    def measured(self, batches: int) -> Iterator[None]:
        start = time.perf_counter()
        yield
        fitting = int(_CALL_SECONDS * batches / (time.perf_counter() - start))
        self.batches = max(1, min(fitting, 4 * self.batches))
