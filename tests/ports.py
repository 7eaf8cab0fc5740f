"""Ports for servers that are told which one to listen on."""

import os

from seqmnist import local

# A hundred of this worker's own, and each is given once: a server takes seconds to listen, and whoever looks for a port
# meanwhile would find the same one.
_FIRST = 7100 + 100 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_ports = iter(range(_FIRST, _FIRST + 100))


def free_port() -> int:
    """A port that nothing listens on, and that no other server of the tests gets."""
    return next(port for port in _ports if local.free_port(port) == port)
