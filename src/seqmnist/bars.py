"""A progress bar where stdout is a terminal, nothing elsewhere."""

import sys
from typing import Self

from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn


class Bar:
    """One rich progress bar as a context manager; subclasses say what it counts."""

    def __init__(self, name: str, total: float | None, *columns: ProgressColumn) -> None:
        """Show `name`, a bar up to `total` (None: not known yet) and further columns; gone when it is over."""
        self.is_shown = sys.stdout.isatty()
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(), *columns, transient=True, disable=not self.is_shown
        )
        self.task: TaskID = self.progress.add_task(name, total=total)

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()
