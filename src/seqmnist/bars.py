"""A progress bar where stdout is a terminal, nothing elsewhere."""

import sys

from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn


class Bar(Progress):
    """One progress bar as a context manager."""

    def __init__(self, name: str, total: float | None, *columns: ProgressColumn) -> None:
        """Show `name`, a bar up to `total` (None: not known yet) and further columns; gone when it is over."""
        shown = TextColumn("{task.description}"), BarColumn(), *columns
        super().__init__(*shown, transient=True, disable=not sys.stdout.isatty())
        self.task = self.add_task(name, total=total)
