"""Bars and lines on the terminal that show a training at work."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

from rich.progress import MofNCompleteColumn, TaskID, TimeRemainingColumn

from seqmnist.bars import Bar, Bars

if TYPE_CHECKING:
    from seqmnist.training.trainer import Epoch  # imports Keras


class Watch(Bar):
    """A bar over all batches where stdout is a terminal, and everywhere one plain line for each epoch.

    A line has name, epoch/last epoch, loss, accuracies, seconds and images a second. It fits into 80 columns.
    """

    def __init__(self, name: str, epochs: int, batches: int, first: int = 0) -> None:
        """Begin a bar.

        Args:
            name: Name of the training.
            epochs: Number of epochs.
            batches: Number of batches in an epoch.
            first: First epoch that is trained now, from 0.
        """
        super().__init__(name, epochs * batches, MofNCompleteColumn(), TimeRemainingColumn())
        self.reset(self.task, completed=first * batches)
        self._name, self._last = name, epochs - 1

    def batches(self, done: int) -> None:
        """Count `done` more batches."""
        self.advance(self.task, done)

    def epoch(self, epoch: "Epoch") -> None:
        """Print an epoch's line."""
        metrics = epoch.metrics
        self.tell(
            f"{self._name} {epoch.number:>2}/{self._last} loss {metrics['train.loss']:.4f}"
            f" train {metrics['train.accuracy']:.4f} val {metrics['val.accuracy']:.4f}"
            f" test {metrics['test.accuracy']:.4f} {epoch.seconds:.1f} s {epoch.examples_per_second:,.0f}/s"
        )


class Screen(Bars):
    """A bar for each training in another process, known by a key, and the lines that these trainings print."""

    def __init__(self) -> None:
        super().__init__(MofNCompleteColumn(), TimeRemainingColumn())
        self._bars: dict[Hashable, TaskID] = {}

    def begin(self, key: Hashable, name: str, total: int, done: int) -> None:
        """Show a training with `total` batches, `done` of which are done."""
        self._bars[key] = self.add_task(name, total=total, completed=done)

    def batches(self, key: Hashable, done: int) -> None:
        """Count `done` more batches of a training."""
        self.advance(self._bars[key], done)

    def line(self, _key: Hashable, text: str) -> None:
        """Print a line of a training."""
        self.tell(text)

    def end(self, key: Hashable) -> None:
        """Remove the bar of a training that is over."""
        self.remove_task(self._bars.pop(key))
