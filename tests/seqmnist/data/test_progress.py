import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from seqmnist.data.raw import SourceError
from seqmnist.data.sources import download

PROGRAM = """
import sys
from pathlib import Path
from seqmnist.data.sources import download

download(sys.argv[1], Path(sys.argv[2]), limit=2000)
"""


class Handler(BaseHTTPRequestHandler):
    """Answers with 2,000 bytes; it says so, unless it is asked for /unsaid."""

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path != "/unsaid":
            self.send_header("Content-Length", "2000")
        self.end_headers()
        self.wfile.write(bytes(2000))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server on this machine."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{listener.server_port}"
        listener.shutdown()
        thread.join()


def command(address: str, folder: Path) -> list[str]:
    return [sys.executable, "-c", PROGRAM, f"{address}/said", str(folder / "labels.gz")]


def test_nothing_is_shown_where_there_is_no_terminal(address: str, tmp_path: Path) -> None:
    result = subprocess.run(command(address, tmp_path), capture_output=True, check=True)
    assert (result.stdout, result.stderr) == (b"", b"")


def test_terminal_shows_what_is_downloaded(address: str, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command(address, tmp_path), stdout=theirs, env=environment) as process:
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


@pytest.mark.parametrize("path", ["said", "unsaid"])
def test_bytes_up_to_the_limit_are_accepted(address: str, tmp_path: Path, path: str) -> None:
    download(f"{address}/{path}", tmp_path / "labels.gz", limit=2000)
    assert (tmp_path / "labels.gz").read_bytes() == bytes(2000)


@pytest.mark.parametrize("path", ["said", "unsaid"])
def test_more_bytes_than_the_limit_are_refused(address: str, tmp_path: Path, path: str) -> None:
    with pytest.raises(SourceError, match="the server sends more than 1999 bytes"):
        download(f"{address}/{path}", tmp_path / "labels.gz", limit=1999)
