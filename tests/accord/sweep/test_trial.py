import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accord.errors import UserError
from accord.files import sha256_file
from accord.project import Project
from accord.settings import Section
from accord.sweep import trial as module
from accord.sweep.folders import Result, TrialSettings
from accord.sweep.trial import main
from accord.tracking import sweeps
from accord.tracking.connection import ServerAway
from accord.tracking.runs import RunRequest
from seqmnist.project import PROJECT
from tests.projects import as_project

METRICS = {"selected.score": 0.75, "selected.epoch": 3, "last.score": 0.5}
CALLS: list[tuple[Any, ...]] = []


def run_tags(values: dict[str, Any]) -> dict[str, str]:
    return {"data": values["data"]}


def train(*arguments: Any) -> tuple[dict[str, float], bool]:
    CALLS.append(("train", *arguments))
    assert Path("checkpoints").is_dir()
    return METRICS, False


def restore(*arguments: Any) -> dict[str, float]:
    CALLS.append(("restore", *arguments))
    return METRICS


class Config(Section):
    data: str
    tracking: dict[str, Any]


MINE = replace(PROJECT, config=f"{__name__}:Config", functions=__name__, metric="score")


@pytest.fixture
def _mine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Use a project whose functions train nothing."""
    yield from as_project(f"{__name__}:MINE", monkeypatch)


@pytest.fixture
def folder(_mine: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a trial without a sweep."""
    CALLS.clear()
    folder = tmp_path / "a trial"
    (folder / "checkpoints/one").mkdir(parents=True)
    (folder / "params.yaml").write_text("data: digits\ntracking: {uri: null, experiment: mine}\n")
    TrialSettings("svm rate=1", None, 0, "/inputs", 2).write(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["trial", str(folder), "1"])
    return folder


def finished(folder: Path) -> Result:
    return Result("FINISHED", sha256_file(folder / "params.yaml"), 0.75, 3, is_logged=False, metrics=METRICS)


def test_the_outcome_of_a_training_is_the_result(folder: Path) -> None:
    main()
    ((name, request, inputs, threads),) = CALLS
    assert (name, inputs, threads) == ("train", Path("/inputs"), 2)
    assert isinstance(request, RunRequest)
    assert (request.stage, request.name, request.resume, request.away) == ("train", "svm rate=1", None, None)
    assert (request.tags, request.extra_tags) == ({}, {"data": "digits"})
    assert str(request.remedy).startswith("the same command with ")
    assert Result.read(folder) == finished(folder)
    assert not (folder / "checkpoints").exists()


def test_a_finished_trial_logs_what_mlflow_lacks(folder: Path) -> None:
    replace(finished(folder), metrics={}).write(folder)  # as an earlier version wrote it
    main()
    assert [(name, inputs) for name, _, inputs in CALLS] == [("restore", Path("/inputs"))]
    assert Result.read(folder) == replace(finished(folder), is_logged=True)


class Sweep:
    """Stand-in for `accord.tracking.sweeps.Sweep`, whose trial 4 has a run."""

    @classmethod
    def configured(cls, *_arguments: Any) -> "Sweep":
        return cls()

    def trial_run_id(self, number: int, _config: str) -> str | None:
        return "an id" if number == 4 else None

    def wait_for_end(self, number: int, _config: str) -> None:
        assert number == 4

    def trial_tags(self, number: int) -> dict[str, str]:
        return {"sweep.trial": str(number)}

    def extra_tags(self) -> dict[str, str]:
        return {"git.commit": "abc"}


@pytest.mark.parametrize(("number", "resumed"), [(4, "an id"), (5, None)])
def test_a_trial_of_a_sweep_resumes_its_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, resumed: str | None
) -> None:
    monkeypatch.setattr(module, "Sweep", Sweep)
    TrialSettings("svm", "/a sweep", number, "/inputs", 2).write(folder)
    main()
    ((_, request, *_),) = CALLS
    assert (request.tags, request.resume) == ({"sweep.trial": str(number)}, resumed)
    assert request.extra_tags == {"git.commit": "abc", "data": "digits"}
    assert request.remedy == "`seqmnist resume '/a sweep'` sends the rest"


def test_while_the_server_is_away_a_trial_trains_and_sends_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = ServerAway("http://server", "no connection")

    def configured(*_arguments: Any) -> None:
        raise away

    monkeypatch.setattr(sweeps.Sweep, "configured", configured)
    TrialSettings("svm", "/a sweep", 4, "/inputs", 2).write(folder)
    main()
    ((_, request, *_),) = CALLS
    assert (request.away, request.tags, request.resume) == (away, {}, None)
    with pytest.raises(ServerAway):
        main()
    assert len(CALLS) == 1, "a finished trial has nothing else to do"


def test_a_value_that_the_projects_model_refuses_stops_a_trial_before_training(folder: Path) -> None:
    (folder / "params.yaml").write_text("data: digits\nnonsense: 1\ntracking: {uri: null, experiment: mine}\n")
    with pytest.raises(UserError, match=r"\Aparams\.yaml: nonsense: unknown key"):
        main()
    assert CALLS == []


def test_an_impossible_value_is_refused_before_mlflow_is_asked(folder: Path) -> None:
    (folder / "params.yaml").write_text("data: digits\ntracking: {uri: null, experiment: 3}\n")
    TrialSettings("svm", "/a sweep", 4, "/inputs", 2).write(folder)
    with pytest.raises(UserError, match=r"params\.yaml: tracking\.experiment = 3 is impossible"):
        main()
