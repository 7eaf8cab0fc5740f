"""Servers that are reached from this machine alone."""

import socket

from seqmnist.errors import UserError

HOST = "127.0.0.1"
_PORTS = 100


def free_port(first: int) -> int:
    """The first port from `first` that nothing listens on.

    Raises:
        UserError: none of a hundred is free.
    """
    for port in range(first, first + _PORTS):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise UserError(f"no port from {first} to {first + _PORTS - 1} is free: end one of the programs there")
