"""A progress bar on the terminal for pooch's downloads."""

from rich.progress import DownloadColumn, TransferSpeedColumn

from seqmnist.bars import Bar


class DownloadProgress(Bar):
    """What pooch calls a progress bar: `total`, `update`, `reset`, `close`.

    It also ends a download that grows beyond what the file can be.
    """

    def __init__(self, name: str, limit: int) -> None:
        """Show `name`; `limit` is how many bytes there may be."""
        super().__init__(name, None, DownloadColumn(), TransferSpeedColumn())
        self.limit = limit
        self._received = 0

    @property
    def total(self) -> float | None:
        """Bytes expected; pooch sets it from the server's answer, 0 where the server does not say."""
        return self.progress.tasks[0].total

    @total.setter
    def total(self, size: int) -> None:
        self.progress.update(self.task, total=size or None)

    def update(self, size: int) -> None:
        """Count `size` more bytes.

        Raises:
            ValueError: more bytes than the limit have come.
        """
        self._received += size
        if self._received > self.limit:
            raise ValueError(f"the server sends more than {self.limit} bytes")
        self.progress.update(self.task, completed=self._received)

    def reset(self) -> None:
        """Start counting again: pooch does before it fills the bar at the end."""
        self._received = 0

    def close(self) -> None:
        """End the download; the context manager removes the bar."""
