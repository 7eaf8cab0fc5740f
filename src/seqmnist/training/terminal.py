"""What a person watching the training sees."""

from rich.progress import MofNCompleteColumn, TimeRemainingColumn

from seqmnist.bars import Bar
from seqmnist.training.trainer import Epoch


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

    def epoch(self, epoch: Epoch) -> None:
        """Print an epoch's line, above the bar if there is one."""
        metrics = epoch.metrics
        line = (
            f"{self._name} {epoch.number:>2}/{self._last} loss {metrics['train.loss']:.4f}"
            f" train {metrics['train.accuracy']:.4f} val {metrics['val.accuracy']:.4f}"
            f" test {metrics['test.accuracy']:.4f} {epoch.seconds:.1f} s {epoch.examples_per_second:,.0f}/s"
        )
        if self.disable:
            print(line, flush=True)
        else:
            self.console.print(line, highlight=False)
