"""What a person watching the training sees."""

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seqmnist.training.trainer import Epoch


class Watch(AbstractContextManager["Watch"]):
    """A bar over all batches where stdout is a terminal, and one plain line an epoch everywhere."""

    def __init__(self, name: str, epochs: int, batches: int) -> None:
        """Name the run and say how many `epochs` of how many `batches` it has."""
        self._last = epochs - 1
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._bar = Progress(*columns, transient=True, disable=not sys.stdout.isatty())
        self._task = self._bar.add_task(name, total=epochs * batches)
        self._name = name

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def batches(self, done: int) -> None:
        """Count `done` more batches."""
        self._bar.advance(self._task, done)

    def epoch(self, epoch: Epoch) -> None:
        """Print an epoch's line, above the bar if there is one."""
        metrics = epoch.metrics
        line = (
            f"{self._name}  epoch {epoch.number:>2}/{self._last}  loss {metrics['train.loss']:.4f}"
            f"  accuracy train {metrics['train.accuracy']:.4f} val {metrics['val.accuracy']:.4f}"
            f" test {metrics['test.accuracy']:.4f}"
            f"  {epoch.seconds:.1f} s  {epoch.examples_per_second:,.0f} images/s"
        )
        if sys.stdout.isatty():
            self._bar.console.print(line, highlight=False)
        else:
            print(line, flush=True)
