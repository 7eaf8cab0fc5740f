"""Any request to the servers of this machine: an answer below 500 in a moment, and not a word in the terminal.

SEQMNIST_REQUESTS is the number of requests to each server.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqmnist.localhost import HOST

pytestmark = pytest.mark.slow

REQUESTS = int(os.environ.get("SEQMNIST_REQUESTS", "2000"))
MOST_MEGABYTES = 150  # by which a server may grow after a tenth of them
START = """
from types import SimpleNamespace
from seqmnist.cells.model import build
from seqmnist.config import Cell, Sequence
from seqmnist.localhost import listener, serve
from seqmnist.training.runtime import start_tensorflow

start_tensorflow(1)
model = build(Cell.model_validate({"type": "rnn", "units": 4, "shards": 1, "train": {}}), Sequence(view="rows"), 1)
"""
DEMO = """
from seqmnist.demo.app import application
from seqmnist.demo.reader import Reader

serve(application([Reader("rnn", model, has_gates=False)], "rows"), listener(5200), "{address}")
"""
SERVE = """
import warnings
import numpy as np
warnings.simplefilter("ignore")
from seqmnist.serve import application

def predict(images):
    return model.predict_on_batch(np.asarray(images, np.uint8))

metadata = SimpleNamespace(get_input_schema=lambda: None)
serve(application(SimpleNamespace(metadata=metadata, predict=predict)), listener(5100), "{address}")
"""


class Request(NamedTuple):
    """The bytes that a client sends, and the end of its connection."""

    content: bytes
    then: str = "wait"

    def __repr__(self) -> str:
        return f"{self.content[:1_000]!r}... of {len(self.content)} bytes, then {self.then}"


class Server(NamedTuple):
    """A server in a process of its own."""

    process: psutil.Process
    port: int
    printed: Path
    path: str
    valid: list[bytes]  # bodies that it answers

    def ask(self, request: Request) -> bytes:
        """Send a request and wait for the answer, or leave in one of several ways."""
        content, then = request
        with socket.create_connection((HOST, self.port), timeout=60) as connection:
            try:
                connection.sendall(content)
                if then == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if then == "half":
                    connection.shutdown(socket.SHUT_WR)
                answer = b""
                while then in {"wait", "half"} and (part := connection.recv(1 << 16)):
                    answer += part
            except TimeoutError:
                raise
            except OSError:  # it was refused before its end
                return b""
            return answer

    def megabytes(self) -> float:
        return float(self.process.memory_info().rss) / 1e6


IMAGES = [json.dumps({field: [[[7] * 28] * 28] * n}).encode() for field in ("inputs", "instances") for n in (1, 3)]
LINE = [[0.5, 0.2], [0.5, 0.8]]
DRAWINGS = [
    b'{"strokes": []}',
    b'{"strokes": [[]]}',
    *(json.dumps({"strokes": [LINE * n] * n}).encode() for n in (1, 9)),
]


@pytest.fixture(params=["demo", "serve"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    code, path, valid = (DEMO, "/read", DRAWINGS) if request.param == "demo" else (SERVE, "/invocations", IMAGES)
    printed = tmp_path / "printed"
    with (
        printed.open("wb") as file,
        subprocess.Popen([sys.executable, "-c", START + code], stdout=subprocess.PIPE, stderr=file) as process,
    ):
        assert process.stdout
        *_, address = takewhile(b"Ctrl-C ends it.\n".__ne__, process.stdout)
        port = int(address.rpartition(b":")[2])
        yield Server(psutil.Process(process.pid), port, printed, path, valid)
        process.kill()
        assert process.stdout.read() == b""


ODD = [b"", b"NaN", b"-Infinity", b"1e999", b"9" * 5_000, b"\xff\xfe", b"\x00", b'"\\ud800"', b"[" * 3_000, b"{}", b"]"]
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, 255, 256, -1, 10**300])
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner), max_leaves=20
)
FIELDS = st.sampled_from(
    ["strokes", "inputs", "instances", "params", "dataframe_split", "dataframe_records", "messages"]
)
KINDS = st.sampled_from(["application/json"] * 9 + ["text/csv", "application/vnd.apache.parquet", "", "a/b; charset=é"])
PARAMETERS = st.sampled_from([""] * 9 + ["; charset=utf-8", "; charset=utf-16", '; charset="utf-8"', ";", "; x=y"])
METHODS = st.sampled_from(["POST"] * 40 + ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "X"])
PATHS = ["/", "/ping", "/version", "/docs", "/openapi.json", "//", "/%00", "/%ff", "/x" * 2_000, "*"]
PIECES = st.sampled_from([b"[0,1],", b"[[0,1]],", b"[],", b"0,", b'"",', b"{},", b'{"x":[1]},', b"null,"])


@st.composite
def bodies(draw: st.DrawFn, valid: list[bytes]) -> bytes:
    """Bodies of all kinds, many of them a valid one with a few changes."""
    kind = draw(st.sampled_from(["changed"] * 5 + ["field"] * 3 + ["json", "bytes", "large"]))
    if kind == "large":
        many = draw(PIECES) * draw(st.sampled_from([200, 5_000, 100_000]))
        return b'{"%b": [%b0]}' % (draw(FIELDS).encode(), many)
    if kind == "field":
        return json.dumps(draw(st.dictionaries(FIELDS, VALUES, min_size=1, max_size=2))).encode()
    if kind == "json":
        encoding = draw(st.sampled_from(["utf-8", "utf-16", "utf-32"]))
        return json.dumps(draw(VALUES), ensure_ascii=draw(st.booleans())).encode(encoding, "surrogatepass")
    if kind == "bytes":
        return draw(st.binary(max_size=100))
    body = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(body)))
        body = body[:start] + draw(st.sampled_from(ODD)) + body[start + draw(st.integers(0, 9)) :]
    return body


@st.composite
def requests(draw: st.DrawFn, server: Server) -> Request:
    path = draw(st.sampled_from([server.path] * 50 + PATHS))
    lines = [f"{draw(METHODS)} {path} HTTP/1.1", f"Host: {HOST}:{server.port}", "Connection: close"]
    if draw(st.integers(0, 9)):
        lines.append(f"Content-Type: {draw(KINDS)}{draw(PARAMETERS)}")
    body = draw(bodies(server.valid))
    way = draw(st.sampled_from(["length"] * 6 + ["chunked", "cut", "none", "odd"]))
    if way == "chunked":
        lines.append("Transfer-Encoding: chunked")
        half = len(body) // 2
        body = (
            b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]) if part) + b"0\r\n\r\n"
        )
    if way in {"length", "cut"}:
        lines.append(f"Content-Length: {len(body)}")
    if way == "odd":
        lines.append(f"Content-Length: {draw(st.sampled_from(['-1', 'x', '1e3', '9' * 30, '+1', '']))}")
    if way == "cut":
        body = body[: len(body) // 2]
    leaves = ["leave", "reset", "half"]
    then = draw(st.sampled_from(leaves if way in {"cut", "odd"} else ["wait"] * 9 + leaves))
    return Request("\r\n".join([*lines, "", ""]).encode() + body, then)


def test_any_request_is_answered_quickly_with_no_output_and_no_server_error(server: Server) -> None:
    for body in server.valid:
        head = f"POST {server.path} HTTP/1.1\r\nHost: {HOST}:{server.port}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        assert server.ask(Request(head.encode() + body)).startswith(b"HTTP/1.1 200 ")
    seconds: list[float] = []
    megabytes: list[float] = []
    statuses: dict[bytes, int] = {}

    @settings(max_examples=REQUESTS, suppress_health_check=list(HealthCheck))
    @given(request=requests(server))
    def check(request: Request) -> None:
        start = time.perf_counter()
        answer = server.ask(request)
        seconds.append(time.perf_counter() - start)
        megabytes.append(server.megabytes())
        status = answer.partition(b"\r\n")[0][9:12]
        statuses[status] = statuses.get(status, 0) + 1
        assert status < b"500"
        assert len(answer) < 20_000
        assert not (printed := server.printed.read_text()), printed

    check()
    growth = megabytes[-1] - megabytes[len(megabytes) // 10]
    median, slow, longest = np.quantile(seconds, [0.5, 0.99, 1])
    print(f"{server.path}: {len(seconds)} requests, statuses {dict(sorted(statuses.items()))}")  # pytest -s shows it
    print(f"  median {median:.4f} s, 99 % {slow:.3f} s, longest {longest:.3f} s; memory {growth:+.1f} MB")
    assert slow < 1
    assert growth < MOST_MEGABYTES
