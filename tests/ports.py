"""Ports for servers that are told which one to listen on."""

import os

from seqmnist import local


def free_port() -> int:
    """A free port out of a hundred that no other worker of pytest gives to its servers.

    A server takes seconds to listen. Another worker that looked for a port meanwhile would find the same one.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return local.free_port(7100 + 100 * int(worker))
