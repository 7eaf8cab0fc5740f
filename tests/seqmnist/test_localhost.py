import asyncio
import http.client
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from accord.errors import UserError
from seqmnist import localhost

LARGEST = 1000
FOLLOWED = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}


@pytest.fixture
def busy() -> Iterator[int]:
    """A port that something listens on."""
    with socket.socket() as listener:
        listener.bind((localhost.HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_in_use_is_passed_over(busy: int) -> None:
    with localhost.listener(busy) as listening:
        port = listening.getsockname()[1]

    assert port > busy
    with socket.socket() as probe:
        probe.bind((localhost.HOST, port))


def test_without_a_free_port_one_line_says_so(busy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localhost, "_MAX_PORTS", 1)

    with pytest.raises(UserError, match=f"no port from {busy} to {busy} is free"):
        localhost.listener(busy)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a guarded server in a thread, which answers with the number of bytes that it got."""
    app = FastAPI()

    @app.api_route("/", methods=["GET", "POST", "PUT", "DELETE", "OPTIONS"])
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.get("/half")
    async def half(request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"half"
            while not await request.is_disconnected():
                await asyncio.sleep(0)

        return StreamingResponse(parts(), headers={"Content-Length": "8"})

    localhost.guard(app, LARGEST)
    with localhost.listener(0) as listening:
        server = localhost.server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


def ask(port: int, method: str = "POST", body: bytes = b"", **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
    """Status, text and headers of an answer; `_` in the names of headers stands for `-`."""
    connection = http.client.HTTPConnection(localhost.HOST, port, timeout=30)
    try:
        connection.request(method, "/", body, {name.replace("_", "-"): text for name, text in headers.items()})
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers
    finally:
        connection.close()


@pytest.mark.parametrize("name", localhost.NAMES)
def test_programs_and_pages_of_this_server_are_answered(port: int, name: str) -> None:
    own = f"{name}:{port}"
    assert ask(port, body=b"123", Host=own)[:2] == (200, "3")
    assert ask(port, body=b"123", Host=own, Origin=f"http://{own}", Sec_Fetch_Site="same-origin")[:2] == (200, "3")
    assert ask(port, "GET", Host=own, Sec_Fetch_Site="none", Sec_Fetch_Mode="navigate")[0] == 200


@pytest.mark.parametrize(
    "name",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.evil.example", "[::1]", "0.0.0.0", ""],
)
def test_another_name_for_this_machine_is_refused(port: int, name: str) -> None:
    assert ask(port, "GET", Host=f"{name}:{port}" if name else "")[0] == 400


def test_a_page_that_was_reached_by_another_name_is_refused_though_it_is_its_own_origin(port: int) -> None:
    assert ask(port, Host="evil.example", Origin="http://evil.example", Sec_Fetch_Site="same-origin")[0] == 400


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}", "http://localhost:{port}"],
)
def test_what_a_page_of_another_origin_sends_is_refused(port: int, method: str, origin: str) -> None:
    status, text, headers = ask(port, method, Origin=origin.format(port=port))
    assert status == 403
    assert text == ("" if method == "HEAD" else "pages of other sites are not answered\n")
    assert [name for name in headers if name.lower().startswith("access-control")] == []


def test_a_form_of_another_site_is_refused(port: int) -> None:
    form = {**FOLLOWED, "Origin": "https://evil.example", "Content_Type": "text/plain"}
    assert ask(port, "POST", b'{"inputs": []}', **form)[0] == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(("mode", "destination"), [("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe")])
def test_another_site_can_neither_embed_nor_frame_it(port: int, site: str, mode: str, destination: str) -> None:
    headers = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": destination}
    assert ask(port, "GET", b"", **headers)[0] == 403


def test_a_link_on_another_site_leads_to_it(port: int) -> None:
    assert ask(port, "GET", b"", **FOLLOWED)[0] == 200


def test_a_body_that_is_too_large_is_refused(port: int) -> None:
    assert ask(port, body=bytes(LARGEST))[:2] == (200, str(LARGEST))
    said = "the request has 1,001 bytes, at most 1,000 are taken\n"
    assert ask(port, body=bytes(LARGEST + 1))[:2] == (413, said)


def raw(port: int, *lines: str) -> socket.socket:
    """A connection on which the head of a request, and no more, was sent."""
    connection = socket.create_connection((localhost.HOST, port), timeout=30)
    connection.sendall("\r\n".join(["POST / HTTP/1.1", f"Host: {localhost.HOST}:{port}", *lines, "", ""]).encode())
    return connection


@pytest.mark.parametrize("size", ["1001", "9" * 15], ids=["a little", "a petabyte"])
def test_a_large_body_is_refused_before_it_is_sent(port: int, size: str) -> None:
    with raw(port, f"Content-Length: {size}") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_unknown_length_is_refused_as_soon_as_it_is_too_large(port: int) -> None:
    with raw(port, "Transfer-Encoding: chunked") as connection:
        for _ in range(3):
            connection.sendall(b"190\r\n" + bytes(0x190) + b"\r\n")  # no end: the answer comes before it
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_endless_bodies_do_not_delay_other_requests(port: int) -> None:
    waiting = [raw(port, "Content-Length: 100") for _ in range(60)]  # more than a pool of threads has
    try:
        assert ask(port, body=b"123")[:2] == (200, "3")
    finally:
        for connection in waiting:
            connection.close()


def test_the_server_listens_on_this_machine_only(port: int) -> None:
    with socket.socket() as other:  # another address of this machine, at which the port is still free
        other.bind(("127.0.0.2", port))


SERVE = """
import sys, threading
from fastapi import FastAPI
from seqmnist.localhost import listener, serve

app = FastAPI()

@app.get("/")
def wait() -> None:
    print("asked", flush=True)
    threading.Event().wait()

serve(app, listener(0), "{address}")
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_a_signal_ends_the_server_during_any_request(number: signal.Signals, code: int) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        port = int(server.stdout.readline().rpartition(":")[2])
        head = f"GET / HTTP/1.1\r\nHost: {localhost.HOST}\r\n\r\n".encode()
        with ExitStack() as stack:
            stack.callback(server.kill)
            waiting = stack.enter_context(socket.create_connection((localhost.HOST, port)))
            stack.enter_context(raw(port, "Content-Length: 9"))
            waiting.sendall(head)
            assert server.stdout.readline() == "Ctrl-C ends it.\n"
            assert server.stdout.readline() == "asked\n"
            server.send_signal(number)
            assert server.wait(timeout=30) == code


def leave(port: int, *lines: str) -> None:
    """Leave in the midst of a body; the answer to who comes next is proof that this was noticed."""
    raw(port, *lines).close()
    assert ask(port, body=b"123")[0] == 200


def test_a_client_that_leaves_prints_nothing(port: int, caplog: pytest.LogCaptureFixture) -> None:
    leave(port, "Content-Length: 9")
    leave(port, "Transfer-Encoding: chunked")
    assert caplog.records == []


def test_bytes_that_are_no_http_print_nothing_during_an_answer(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_connection((localhost.HOST, port), timeout=30) as connection:
        connection.sendall(f"GET /half HTTP/1.1\r\nHost: {localhost.HOST}\r\nConnection: close\r\n\r\n".encode())
        while not connection.recv(1000).endswith(b"half"):
            pass
        connection.sendall(b"no HTTP\r\n\r\n")
        assert connection.recv(1000) == b""
    assert ask(port, body=b"123")[0] == 200
    assert caplog.records == []
