from typing import Any

import pytest

from accord import sync
from accord.errors import UserError
from accord.project import Project
from accord.tracking.connection import ServerAway


def test_the_projects_sync_function_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(Project, "call", lambda _project, *call: calls.append(call))
    sync.sync()
    assert calls == [("sync",)]


def test_a_server_that_is_away_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*_: Any) -> None:
        raise ServerAway("http://server", "no connection")

    monkeypatch.setattr(Project, "call", call)
    with pytest.raises(UserError, match="The results here are complete; once it is back, `seqmnist sync` sends them"):
        sync.sync()
