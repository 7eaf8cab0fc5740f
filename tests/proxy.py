"""An HTTP proxy that fails on request."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from seqmnist.localhost import HOST

Fault = Literal["answers 500", "stalls", "drops requests", "loses answers"]


class Proxy:
    """A proxy of a server on this machine that counts requests and, after `fail`, no longer passes them on."""

    def __init__(self, port: int) -> None:
        self._port, self._lock, self._released = port, threading.Lock(), threading.Event()
        self.pass_on()
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                del format, args

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.uri = f"http://{HOST}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def pass_on(self) -> None:
        """Pass all requests on from now on, and count from 0."""
        self._released.set()
        self._fault: Fault | None = None
        self._left = self.count = 0

    def fail(self, fault: Fault, after: int = 0) -> None:
        """Fail in the given way after `after` more requests, and count from 0."""
        self._released = threading.Event()
        self._fault, self._left, self.count = fault, after, 0

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        with self._lock:
            self.count += 1
            fault, released = (self._fault if self.count > self._left else None), self._released
        if fault == "answers 500":
            _respond(handler, 500, {}, b"broken")
        elif fault == "stalls":
            released.wait()
        elif fault != "drops requests":
            answer = self._forward(handler, body)
            if not fault:
                _respond(handler, *answer)
        handler.close_connection = True

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(HOST, self._port)
        connection.request(handler.command, handler.path, body, dict(handler.headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {"Content-Type": answer.headers.get("Content-Type", "")}, content


def _respond(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, value in (headers | {"Content-Length": str(len(body)), "Connection": "close"}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
