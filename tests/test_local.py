import socket
from collections.abc import Iterator

import pytest

from seqmnist import local
from seqmnist.errors import UserError


@pytest.fixture
def busy() -> Iterator[int]:
    """A port that something listens on."""
    with socket.socket() as listener:
        listener.bind((local.HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_in_use_is_passed_over(busy: int) -> None:
    port = local.free_port(busy)

    assert port > busy
    with socket.socket() as probe:
        probe.bind((local.HOST, port))


def test_without_a_free_port_the_user_is_told(busy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_PORTS", 1)

    with pytest.raises(UserError, match=f"no port from {busy} to {busy} is free"):
        local.free_port(busy)
