"""Ports for servers that are told which one to listen on."""

import os

from seqmnist.localhost import listener

# A hundred of this worker's own, and each is given once: a server takes seconds to listen, and whoever looks for a port
# meanwhile would find the same one.
_FIRST = 7100 + 100 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_ports = iter(range(_FIRST, _FIRST + 100))


def free_port() -> int:
    """A port that nothing listens on, and that no other server of the tests gets."""
    for port in _ports:
        with listener(port) as listening:
            if listening.getsockname()[1] == port:
                return port
    raise RuntimeError("this worker has used up its ports")
