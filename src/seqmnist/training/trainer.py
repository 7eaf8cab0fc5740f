"""Train one model, epoch by epoch, and select the epoch with the best validation accuracy."""

import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from accord.errors import UserError
from seqmnist.config import SplitName, Train
from seqmnist.data.splits import Split
from seqmnist.metric_names import VALIDATION_ACCURACY
from seqmnist.training.augmentation import epoch_maps
from seqmnist.training.batches import Batches, epoch_batches
from seqmnist.training.graph import ScoringGraph, TrainingGraph
from seqmnist.training.optimizer import step_values

_STATE = "state.npz"
_CALL_SECONDS = 0.4  # duration of a graph call, between which Python hears Ctrl-C


class DivergedError(UserError):
    """A loss is not a number."""


@dataclass(frozen=True)
class Epoch:
    """Metrics and duration of one epoch."""

    number: int  # from 0
    metrics: dict[str, float]  # by the names of history.csv
    seconds: float  # duration of training, without scoring
    examples_per_second: float  # training images a second

    @property
    def logged(self) -> dict[str, float]:
        """The metrics and times that MLflow and checkpoints get."""
        speed = {"time.epoch_seconds": self.seconds, "time.examples_per_second": self.examples_per_second}
        return self.metrics | speed


class Trainer:
    """The training of a model by a recipe. The same arguments give the same bits on the same machine."""

    def __init__(
        self,
        model: keras.Model,
        splits: Mapping[SplitName, Split],
        recipe: Train,
        *,
        seed: int,
        shards: int,
        progress: Callable[[int], object],
    ) -> None:
        """Trace the graphs.

        Args:
            model: Model of images uint8 [n, 28, 28] to logits [n, 10], trained in place.
            splits: Train, validation and test images.
            recipe: Recipe of the training.
            seed: Seed of the order of the images, and of their movements.
            shards: Number of parts of a batch that run side by side.
            progress: Function called with the number of batches done after each graph call.
        """
        self._model, self._splits, self._recipe, self._seed = model, splits, recipe, seed
        self._progress = progress
        self._training = TrainingGraph(model, splits["train"], recipe, shards)
        self._scoring = ScoringGraph(model, shards)
        self._call_batches = 1  # batches in a graph call; no result depends on it
        self._best_accuracy, self._best_weights = -1.0, model.get_weights()

    def epochs(self, first: int = 0) -> Iterator[Epoch]:
        """Train the recipe's epochs from `first` on, and yield each when it is over.

        Raises:
            DivergedError: The loss of a batch, or of the validation images after an epoch, is not a number.
        """
        images = len(self._splits["train"])
        for number in range(first, self._recipe.epochs):
            batches = epoch_batches(images, self._recipe.batch_size, self._seed, number)
            losses, right = np.empty(len(batches)), np.empty(len(batches), np.int64)  # [batches], before each update
            start = time.perf_counter()
            for part, arguments in self._graph_calls(number, batches):
                losses[part], right[part] = self._training.run(*arguments)  # each [batches of the call]
                if not np.isfinite(losses[part]).all():
                    bad = part.start + int(np.argmin(np.isfinite(losses[part])))
                    raise self._diverged(losses[bad], f"in epoch {number}, batch {bad}")
                self._progress(part.stop - part.start)
            seconds = time.perf_counter() - start
            metrics = {"train.loss": float(np.average(losses, weights=np.diff(batches.bounds)))}
            metrics["train.accuracy"] = int(right.sum()) / images
            with self._training.averaged():
                metrics |= self._scores(number, batches)
            if metrics[VALIDATION_ACCURACY] > self._best_accuracy:
                self._best_accuracy, self._best_weights = metrics[VALIDATION_ACCURACY], self._training.weights()
            yield Epoch(number, metrics, seconds, images / seconds)

    def select(self) -> None:
        """Give the model the weights of the best epoch so far, by validation accuracy; the earlier one on ties."""
        self._model.set_weights(self._best_weights)

    def save(self, folder: Path) -> None:
        """Write the state of the training, all that the next epochs depend on, as a file in a folder."""
        arrays = {f"state{k}": array for k, array in enumerate(self._training.state())}
        arrays |= {f"best{k}": array for k, array in enumerate(self._best_weights)}
        content = io.BytesIO()  # where NumPy itself writes a file, its error hides the cause, such as a full disk
        np.savez(content, allow_pickle=False, accuracy=np.array(self._best_accuracy), **arrays)
        (folder / _STATE).write_bytes(content.getbuffer())

    def load(self, folder: Path) -> None:
        """Continue from a state that `save` wrote, in this process or another."""
        with np.load(folder / _STATE, allow_pickle=False) as arrays:
            state, best = (
                [arrays[name] for name in arrays.files if name.startswith(kind)] for kind in ("state", "best")
            )
            self._best_accuracy = float(arrays["accuracy"])
        self._training.restore(state)
        self._best_weights = best

    def _graph_calls(self, number: int, batches: Batches) -> Iterator[tuple[slice, tuple[NDArray[Any], ...]]]:
        """Yield the graph calls of an epoch: the slice of batches, and the arguments of `TrainingGraph.run`."""
        total = len(batches) * self._recipe.epochs
        maps = epoch_maps(self._recipe, len(batches.order), self._seed, number)  # [images, 6] or [0, 6]
        done = 0
        while done < len(batches):
            stop = min(done + self._call_batches, len(batches))
            steps = step_values(self._recipe, number * len(batches) + np.arange(done, stop), total)  # [batches, 4]
            start = time.perf_counter()
            yield slice(done, stop), (batches.order, batches.bounds[done : stop + 1], steps, maps)
            fitting = int(_CALL_SECONDS * (stop - done) / (time.perf_counter() - start))
            self._call_batches = max(1, min(fitting, 4 * self._call_batches))
            done = stop

    def _scores(self, number: int, batches: Batches) -> dict[str, float]:
        """Return the scores on the last training batch, whose images are not moved, and on the other two splits."""
        train, last = self._splits["train"], batches.order[batches.bounds[-2] :]
        metrics = {"train.last_batch_accuracy": self._scoring.score(Split(train.images[last], train.labels[last]))[1]}
        metrics["val.loss"], metrics["val.accuracy"] = self._scoring.score(self._splits["validation"])
        if not np.isfinite(metrics["val.loss"]):  # the last update can be the one that diverges
            raise self._diverged(metrics["val.loss"], f"on the validation images after epoch {number}")
        metrics["test.loss"], metrics["test.accuracy"] = self._scoring.score(self._splits["test"])
        return metrics

    def _diverged(self, loss: float, where: str) -> DivergedError:
        rate = f"lower learning_rate (now {self._recipe.learning_rate:g}) or set clip_norm"
        return DivergedError(f"training diverged: the loss is {loss} {where}; {rate} in train, or in the cell's own")
