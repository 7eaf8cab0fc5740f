"""What a person watching the training sees."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

from rich.progress import MofNCompleteColumn, TaskID, TimeRemainingColumn

from seqmnist.bars import Bar, Bars

if TYPE_CHECKING:
    from seqmnist.training.trainer import Epoch  # imports Keras


class Watch(Bar):
    """A bar over all batches where stdout is a terminal, and one plain line an epoch everywhere.

    A line is `name epoch/last loss`, the accuracies, seconds and images a second; it fits 80 columns.
    """

    def __init__(self, name: str, epochs: int, batches: int, first: int = 0) -> None:
        """Name the run and say how many `epochs` of how many `batches` it has, and which epoch is the first."""
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
    """A bar for each training that is at work in another process, known by a key, and the lines that they print."""

    def __init__(self) -> None:
        super().__init__(MofNCompleteColumn(), TimeRemainingColumn())
        self._bars: dict[Hashable, TaskID] = {}

    def begin(self, key: Hashable, name: str, total: int, done: int) -> None:
        """Show a training of which so many batches of all are done."""
        self._bars[key] = self.add_task(name, total=total, completed=done)

    def batches(self, key: Hashable, done: int) -> None:
        """Count `done` more batches of a training."""
        self.advance(self._bars[key], done)

    def line(self, _key: Hashable, text: str) -> None:
        """Print a line of a training's."""
        self.tell(text)

    def end(self, key: Hashable) -> None:
        """Take away the bar of a training that is over."""
        self.remove_task(self._bars.pop(key))
