from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqmnist import sync
from seqmnist.errors import UserError
from seqmnist.projects import Project
from seqmnist.settings import Tracking
from seqmnist.tracking.away import ServerAway

Calls = list[tuple[Any, ...]]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What is asked of a store that needs mending, and of the project."""
    made: Calls = []

    def mend(tracking: Tracking, data_folder: Callable[[str], Path]) -> list[str]:
        made.append(("mend", tracking.experiment, data_folder("mnist.test")))
        return ["MLflow: corrected the sources of data sets: 2"]

    def call(_project: Project, function: str, *arguments: Any) -> Any:
        made.append((function, *arguments))
        return Path("data")

    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("tracking: {uri: null, experiment: mine}\n")
    monkeypatch.setenv("SEQMNIST_PROJECT", "seqmnist.project:PROJECT")
    monkeypatch.setattr(sync, "mend", mend)
    monkeypatch.setattr(Project, "call", call)
    return made


def test_the_store_is_mended_before_the_project_is_asked(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    sync.sync()
    assert calls == [("data_folder", "mnist.test"), ("mend", "mine", Path("data")), ("sync",)]
    assert capsys.readouterr().out == "MLflow: corrected the sources of data sets: 2\n"


def test_a_server_that_is_away_is_told_of(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    del calls

    def call(_project: Project, function: str, *_arguments: Any) -> Path:
        if function == "sync":
            raise ServerAway("http://server", "no connection")
        return Path("data")

    monkeypatch.setattr(Project, "call", call)
    with pytest.raises(UserError, match="The results here are complete; once it is back, `seqmnist sync` sends them"):
        sync.sync()


def test_a_section_that_is_not_valid_is_refused(calls: Calls) -> None:
    Path("params.yaml").write_text("tracking: {uri: null, experiment: ''}\n")
    with pytest.raises(UserError, match=r"params\.yaml: tracking\.experiment = '' is impossible"):
        sync.sync()
    assert calls == []
