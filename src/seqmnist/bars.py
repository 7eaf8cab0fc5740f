"""Progress bars, which are shown only where stdout is a terminal."""

import sys

from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn


class Bars(Progress):
    """Progress bars as a context manager. They disappear at its end."""

    def __init__(self, *columns: ProgressColumn) -> None:
        """Show a bar's name, the bar and further columns."""
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
        """Show `name`, a bar up to `total` (None: not known yet) and further columns."""
        super().__init__(*columns)
        self.task = self.add_task(name, total=total)
