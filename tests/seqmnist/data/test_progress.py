import os
import subprocess
import sys

import pytest

from seqmnist.data.raw import SourceError
from seqmnist.data.sources import DownloadProgress

PROGRAM = """
from seqmnist.data.sources import DownloadProgress
with DownloadProgress("labels.gz", limit=2000) as progress:
    progress.total = 2000
    progress.update(1000)
    progress.update(1000)
    progress.reset()
    progress.update(2000)
    progress.close()
"""


def test_nothing_is_shown_where_there_is_no_terminal() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True)
    assert (result.stdout, result.stderr) == (b"", b"")


def test_terminal_shows_what_is_downloaded() -> None:
    ours, theirs = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while chunk := read(ours):
            shown += chunk
    os.close(ours)
    assert process.returncode == 0
    assert b"labels.gz" in shown
    assert b"2.0/2.0 kB" in shown


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux's way of saying that the other side is closed
        return b""


def test_bytes_up_to_the_limit_are_accepted() -> None:
    with DownloadProgress("labels.gz", limit=10) as progress:
        for _ in range(10):
            progress.update(1)


def test_more_bytes_than_the_limit_are_refused() -> None:
    with DownloadProgress("labels.gz", limit=10) as progress:
        progress.update(6)
        with pytest.raises(SourceError, match="the server sends more than 10 bytes"):
            progress.update(5)


def test_reset_begins_the_count_again() -> None:
    with DownloadProgress("labels.gz", limit=10) as progress:
        progress.update(10)
        progress.reset()
        progress.update(10)
        with pytest.raises(SourceError, match="more than 10 bytes"):
            progress.update(1)


@pytest.mark.parametrize(("size", "total"), [(10, 10), (0, None)], ids=["told", "not told"])
def test_total_is_what_the_server_tells(size: int, total: int | None) -> None:
    with DownloadProgress("labels.gz", limit=10) as progress:
        progress.total = size
        progress.update(1)
        assert progress.progress.tasks[0].total == total
