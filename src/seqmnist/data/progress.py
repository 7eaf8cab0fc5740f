"""A progress bar on the terminal for pooch's downloads."""

import sys
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn


class DownloadProgress:
    """What pooch calls a progress bar: `total`, `update`, `reset`, `close`; shows nothing where there is no terminal.

    It also ends a download that grows beyond what the file can be.
    """

    def __init__(self, name: str, limit: int) -> None:
        self.limit = limit
        self._received = 0
        columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
        self._bar = Progress(*columns, disable=not sys.stdout.isatty())
        self._task = self._bar.add_task(name, total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    @property
    def total(self) -> float | None:
        """Bytes expected; pooch sets it from the server's answer, 0 where the server does not say."""
        return self._bar.tasks[0].total

    @total.setter
    def total(self, size: int) -> None:
        self._bar.update(self._task, total=size or None)

    def update(self, size: int) -> None:
        """Count `size` more bytes.

        Raises:
            ValueError: more bytes than the limit have come.
        """
        self._received += size
        if self._received > self.limit:
            raise ValueError(f"the server sends more than {self.limit} bytes")
        self._bar.update(self._task, completed=self._received)

    def reset(self) -> None:
        """Start counting again: pooch does before it fills the bar at the end."""
        self._received = 0

    def close(self) -> None:
        """End the download; the context manager removes the bar."""
