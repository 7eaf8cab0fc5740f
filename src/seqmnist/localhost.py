"""Servers that are reached from this machine alone, and by no page of another site."""

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
NAMES = (HOST, "localhost")  # by which a browser on this machine may ask
_MAX_PORTS = 100
_END_SECONDS = 2  # after a signal, for answers that are under way


def listener(first: int) -> socket.socket:
    """Return a socket that listens on the first free port from `first`: who connects from now on waits for an answer.

    Raises:
        UserError: None of a hundred ports is free.
    """
    for port in range(first, first + _MAX_PORTS):
        with suppress(OSError):
            return socket.create_server((HOST, port))  # also just after another server's end
    raise UserError(f"no port from {first} to {first + _MAX_PORTS - 1} is free: end one of the programs there")


def guard(app: FastAPI, largest: int) -> None:
    """Have an application answer only to this machine's programs and to pages of its own.

    Any page that is open in a browser here can send requests to this machine. They get 400 where they come by another
    name (DNS rebinding), 403 where another site's page made them, 413 where their body is too large.

    Args:
        app: Application that answers; its own middleware comes after the checks.
        largest: Largest number of bytes in a request's body, also where the request does not state its length.
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
        except ClientDisconnect:  # in the midst of its body
            return Response(status_code=HTTPStatus.BAD_REQUEST)

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=NAMES, www_redirect=False)  # added last: asked first


def _is_foreign(headers: Headers) -> bool:
    """Return whether another site's page made the request, as browsers say; a link to our page may stand anywhere."""
    origin = headers.get("origin")
    if origin is not None:
        return origin != f"http://{headers.get('host')}"
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return headers.get("sec-fetch-site", "none") not in {"none", "same-origin"} and not followed


class _Protocol(H11Protocol):
    """HTTP of clients that may send what is no HTTP."""

    def send_400_response(self, msg: str) -> None:
        with suppress(Exception):  # h11's own: in the midst of another answer, or to HEAD, this one can't be sent
            super().send_400_response(msg)
        self.transport.close()


class _Server(uvicorn.Server):
    """A server that ends soon after a signal, without waiting for its threads and clients."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        end = threading.Timer(_END_SECONDS, os._exit, [0 if sig == signal.SIGINT else 128 + sig])
        end.daemon = True
        end.start()


def server(app: FastAPI) -> uvicorn.Server:
    """Return a server of an application; neither the environment nor a client makes it print anything."""
    # Its warnings are of requests that are no HTTP. The number of workers would come from a variable.
    return _Server(uvicorn.Config(app, http=_Protocol, log_level="error", workers=1, proxy_headers=False))


def serve(app: FastAPI, listening: socket.socket, line: str) -> None:
    """Serve until Ctrl-C.

    Args:
        app: Application that answers.
        listening: Socket of `listener`.
        line: Text for people, with the server's address for `{address}`.
    """
    address = f"http://{HOST}:{listening.getsockname()[1]}"
    with listening, suppress(KeyboardInterrupt):  # uvicorn raises the signal again when it has ended
        print(f"{line.format(address=address)}\nCtrl-C ends it.", flush=True)
        server(app).run(sockets=[listening])
