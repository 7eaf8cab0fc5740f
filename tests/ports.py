"""Ports for servers that need one as an argument."""

import os

from seqmnist.localhost import listener

# Each pytest worker has a hundred ports and gives each out once: a server takes seconds until it listens, and meanwhile
# its port still looks free.
_FIRST = 7100 + 100 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_ports = iter(range(_FIRST, _FIRST + 100))


def free_port() -> int:
    """Return a port that nothing listens on and that no other server of the tests gets."""
    for port in _ports:
        with listener(port) as listening:
            if listening.getsockname()[1] == port:
                return port
    raise RuntimeError("this pytest worker has used up its 100 ports")
