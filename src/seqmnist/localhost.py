"""Servers that only this machine can reach, protected from requests by pages of other sites."""

import os
import signal
import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from types import FrameType

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.datastructures import Headers
from starlette.middleware.base import RequestResponseEndpoint
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol

from accord.errors import UserError

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")  # host names that requests may use
_MAX_PORTS = 100
_END_SECONDS = 2  # time after a signal for responses in progress


def listener(first: int) -> socket.socket:
    """Return a socket that listens on the first free port from `first`. Clients can connect before the server starts.

    Raises:
        UserError: None of a hundred ports is free.
    """
    for port in range(first, first + _MAX_PORTS):
        with suppress(OSError):
            return socket.create_server((HOST, port))  # reuses a port that another server just left
    raise UserError(f"no port from {first} to {first + _MAX_PORTS - 1} is free: end one of the programs there")


def guard(app: FastAPI, largest: int) -> None:
    """Restrict an application to requests from programs on this machine and from its own pages.

    Any page that is open in a browser here can send requests to this machine. A request for another host name (DNS
    rebinding) gets 400. A request by another site's page gets 403. A request with too large a body gets 413.

    Args:
        app: Application to protect. The checks run before its existing middleware.
        largest: Largest request body in bytes. It also applies to requests without a Content-Length.
    """
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=largest)

    @app.middleware("http")
    async def refuse(request: Request, call_next: RequestResponseEndpoint) -> Response:
        if _is_foreign(request.headers):
            return PlainTextResponse("pages of other sites are not answered\n", HTTPStatus.FORBIDDEN)
        size = request.headers.get("content-length", "")
        if size.isdecimal() and int(size) > largest:
            reason = f"the request has {int(size):,} bytes, at most {largest:,} are taken\n"
            return PlainTextResponse(reason, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            return await call_next(request)
        except ClientDisconnect:  # the client left before it sent the whole body
            return Response(status_code=HTTPStatus.BAD_REQUEST)

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=NAMES, www_redirect=False)  # added last, so it runs first


def _is_foreign(headers: Headers) -> bool:
    """Return whether, by the browser's headers, another site's page made the request. Followed links are allowed."""
    origin = headers.get("origin")
    if origin is not None:
        return origin != f"http://{headers.get('host')}"
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return headers.get("sec-fetch-site", "none") not in {"none", "same-origin"} and not followed


class _Protocol(H11Protocol):
    """HTTP protocol that closes the connection of a client that sends invalid HTTP."""

    def send_400_response(self, msg: str) -> None:
        with suppress(Exception):  # h11 raises if a response has begun, or for HEAD
            super().send_400_response(msg)
        self.transport.close()


class _Server(uvicorn.Server):
    """A server that exits soon after a signal and does not wait for its threads and clients."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        end = threading.Timer(_END_SECONDS, os._exit, [0 if sig == signal.SIGINT else 128 + sig])
        end.daemon = True
        end.start()


def server(app: FastAPI) -> uvicorn.Server:
    """Return a server for an application. Neither the environment nor a client can make it print."""
    # Invalid HTTP would log warnings. Without `workers`, uvicorn reads WEB_CONCURRENCY.
    return _Server(uvicorn.Config(app, http=_Protocol, log_level="error", workers=1, proxy_headers=False))


def serve(app: FastAPI, listening: socket.socket, line: str) -> None:
    """Serve until Ctrl-C.

    Args:
        app: Application to serve.
        listening: Socket from `listener`.
        line: Text to print; `{address}` in it becomes the server's address.
    """
    address = f"http://{HOST}:{listening.getsockname()[1]}"
    with listening, suppress(KeyboardInterrupt):  # uvicorn raises the signal again after shutdown
        print(f"{line.format(address=address)}\nCtrl-C ends it.", flush=True)
        server(app).run(sockets=[listening])
