"""Progress bars that are shown only if stdout is a terminal."""

import sys

from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn


class Bars(Progress):
    """A context manager for progress bars, which disappear when it exits."""

    def __init__(self, *columns: ProgressColumn) -> None:
        """Show each bar's name, the bar itself, and additional columns."""
        shown = TextColumn("{task.description}"), BarColumn(), *columns
        super().__init__(*shown, transient=True, disable=not sys.stdout.isatty())

    def tell(self, line: str) -> None:
        """Print a line, above the bars if there are any."""
        if self.disable:
            print(line, flush=True)
        else:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)


class Bar(Bars):
    """One progress bar."""

    def __init__(self, name: str, total: float | None, *columns: ProgressColumn) -> None:
        """Show `name`, a bar up to `total` (None if not yet known), and additional columns."""
        super().__init__(*columns)
        self.task = self.add_task(name, total=total)
