"""Servers that are reached from this machine alone."""

import socket
from typing import TYPE_CHECKING

from seqmnist.errors import UserError

if TYPE_CHECKING:
    from fastapi import FastAPI

HOST = "127.0.0.1"
_PORTS = 100


def listener(first: int) -> socket.socket:
    """A socket that listens on the first free port from `first`: who connects from now on waits for an answer.

    Raises:
        UserError: none of a hundred ports is free.
    """
    for port in range(first, first + _PORTS):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # also just after another server's end
        try:
            listening.bind((HOST, port))
            listening.listen()
        except OSError:
            listening.close()
            continue
        return listening
    raise UserError(f"no port from {first} to {first + _PORTS - 1} is free: end one of the programs there")


def free_port(first: int) -> int:
    """The first port from `first` that nothing listens on.

    Raises:
        UserError: none of a hundred is free.
    """
    with listener(first) as listening:
        return int(listening.getsockname()[1])


def serve(app: "FastAPI", first: int, line: str) -> None:
    """Serve until Ctrl-C on the first free port from `first`.

    Args:
        app: what answers.
        first: the port to try first.
        line: printed as soon as connections are taken, with the server's address for `{address}`.

    Raises:
        UserError: no port is free.
    """
    import uvicorn

    with listener(first) as listening:
        address = f"http://{HOST}:{listening.getsockname()[1]}"
        print(f"{line.format(address=address)}\nCtrl-C ends it.", flush=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:  # uvicorn raises the signal again when it has ended
            return
