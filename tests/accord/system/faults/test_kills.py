"""Kills at random moments, after which the same command gives the same bytes and MLflow has one run a stage."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from optuna.trial import FrozenTrial, TrialState

from accord.files import sha256_file
from accord.sweep.search.journal import NAME, open_journal
from tests.accord.system.faults.killing import LOG, SWEEPS, Command, Draw, Hit, parametrize_draws
from tests.accord.system.faults.report import KILLS
from tests.projects import Project

pytestmark = pytest.mark.slow

FEW = ("compose", "prepare", "train@mlp", "sweep", "search")  # commands that are killed once in every test run
# On an idle machine.
USUAL_SECONDS = {"compose": 2, "prepare": 4, "train@mlp": 6, "sweep": 12, "search": 25, "train@rnn": 12}
PARENT = "mlflow.parentRunId"
SWEEP = ["python", "-m", "digits.sweep", "-m", "model=sgd,mlp"]
TRIALS = 6
SEARCH = ["python", "-m", "digits.sweep", "-m", "search=optuna", "hydra.sweeper.workers=1", "train.epochs=10"]
SEARCH += [f"hydra.sweeper.n_trials={TRIALS}", "hydra.sweeper.n_startup_trials=2"]
COMMANDS = {"sweep": SWEEP, "search": SEARCH}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    words = metafunc.function.__name__.split("_")
    own = {name: KILLS[name] for name in SWEEPS if name in words}
    own = own or {stage: count for stage, count in KILLS.items() if stage not in SWEEPS}
    parametrize_draws(metafunc, own, {stage: 1 for stage in FEW if stage in own})


@pytest.fixture(scope="module")
def seconds(base: Project, is_campaign: bool, tmp_path_factory: pytest.TempPathFactory, forget: Any) -> Any:
    """Return a function that gives the duration of an undisturbed command in seconds; a campaign measures it once."""
    known: dict[str, float] = {} if is_campaign else {**USUAL_SECONDS}

    def measure(stage: str) -> float:
        if stage not in known:
            project = base.copy(tmp_path_factory.mktemp("measured") / "clone")
            if stage not in SWEEPS:
                forget(project, stage)
            start = time.monotonic()
            assert Command(project, command(stage)).process.wait() == 0
            known[stage] = time.monotonic() - start
        return known[stage]

    return measure


def command(stage: str) -> list[str]:
    return COMMANDS.get(stage, ["dvc", "repro", stage])


def kill(make: Callable[[], Project], draw: Draw, seconds: float) -> tuple[Project, Hit, list[psutil.Process]]:
    """Kill a command of a clone at the drawn moment; if the command had ended, try earlier in another clone.

    Returns:
        The clone, what was hit, and the processes that the command had.
    """
    moment = draw.moment * seconds
    while True:
        project = make()
        started = Command(project, command(draw.stage))
        if started.runs_for(moment):
            processes = psutil.Process(started.process.pid).children(recursive=True)
            return project, started.kill(draw), processes
        assert started.process.returncode == 0, started.output
        moment *= 0.8


def test_the_same_command_recovers_from_a_killed_stage(
    draw: Draw,
    base: Project,
    tmp_path: Path,
    fault: Any,
    seconds: Any,
    forget: Any,
    repair: Any,
    assert_same: Any,
    runs: Any,
) -> None:
    clones = iter(range(100))

    def make() -> Project:
        project = base.copy(tmp_path / str(next(clones)))
        forget(project, draw.stage)
        return project

    project, hit, orphans = kill(make, draw, seconds(draw.stage))
    fault.inject(f"SIGKILL: {draw.stage}", str(hit))
    ended = len(finished(project, draw.stage, runs)) if (project.root / "mlflow.db").exists() else 0

    repair(project, "--quick")
    result = project.succeed(*command(draw.stage))

    _, alive = psutil.wait_procs(orphans, timeout=60)
    assert not alive
    assert_same(project)
    if draw.stage != "compose":  # compose logs no run
        # DVC runs a stage again if it could not record the stage's end, which makes a second run.
        again = ended if draw.stage in result.stages_run else 0
        assert len(finished(project, draw.stage, runs, strictly=True)) == 1 + again, hit


def finished(project: Project, stage: str, runs: Any, *, strictly: bool = False) -> list[Any]:
    every = runs(project, strictly=strictly)
    return [run for run in every if run.info.run_name == stage and run.info.status == "FINISHED"]


def test_a_killed_sweep_is_resumed(
    draw: Draw, base: Project, tmp_path: Path, fault: Any, seconds: Any, runs: Any, expected: dict[str, str]
) -> None:
    clones = iter(range(100))
    project, hit, orphans = kill(lambda: base.copy(tmp_path / str(next(clones))), draw, seconds("sweep"))
    fault.inject("SIGKILL: sweep", str(hit))
    assert "Traceback" not in (project.repository / ".git" / LOG).read_text()

    folder = resumed(project, SWEEP)

    _, alive = psutil.wait_procs(orphans, timeout=60)
    assert not alive
    for number, name in enumerate(("sgd", "mlp")):
        model = f"models/{name}/model.pickle"
        assert sha256_file(folder / str(number) / model) == expected[model]
    every = runs(project, "digits-sweeps", strictly=True)
    (parent,) = [run for run in every if run.info.status == "FINISHED" and PARENT not in run.data.tags]
    trials = [run for run in every if run.data.tags.get(PARENT) == parent.info.run_id]
    assert parent.info.run_name == f"sweep {folder.name}"
    assert sorted((run.info.run_name, run.info.status) for run in trials) == [("mlp", "FINISHED"), ("sgd", "FINISHED")]


@pytest.fixture(scope="module")
def straight(base: Project, tmp_path_factory: pytest.TempPathFactory) -> list[FrozenTrial]:
    """Return the trials of an undisturbed search."""
    project = base.copy(tmp_path_factory.mktemp("straight") / "clone")
    return study(resumed(project, SEARCH))


def study(folder: Path) -> list[FrozenTrial]:
    return optuna.load_study(study_name=NAME, storage=open_journal(folder)).trials


def test_a_killed_search_is_resumed(
    draw: Draw, base: Project, tmp_path: Path, fault: Any, seconds: Any, runs: Any, straight: list[FrozenTrial]
) -> None:
    clones = iter(range(100))
    project, hit, orphans = kill(lambda: base.copy(tmp_path / str(next(clones))), draw, seconds("search"))
    fault.inject("SIGKILL: search", str(hit))
    assert "Traceback" not in (project.repository / ".git" / LOG).read_text()

    trials = study(resumed(project, SEARCH))

    _, alive = psutil.wait_procs(orphans, timeout=60)
    assert not alive
    assert len(trials) == TRIALS
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    if hit.victim != "trial":  # without its result the search goes on, and chooses by fewer
        for found, expected in zip(trials, straight, strict=True):
            assert (found.state, found.params, found.values) == (expected.state, expected.params, expected.values)
            assert found.intermediate_values == expected.intermediate_values
    every = runs(project, "digits-sweeps", strictly=True)
    (parent,) = [run for run in every if run.info.status == "FINISHED" and PARENT not in run.data.tags]
    own = [run for run in every if run.data.tags.get(PARENT) == parent.info.run_id]
    assert sorted(int(run.data.tags["sweep.trial"]) for run in own) == list(range(TRIALS))
    assert {run.info.status for run in own} == {"FINISHED"}


def resumed(project: Project, command: list[str]) -> Path:
    """Resume the sweep, or run its command again if it had not begun, as a user does; return its folder."""
    begun = [path.parent for path in (project.root / "sweeps").glob("*/sweep.json")]
    if begun:
        project.succeed("python", "-m", "digits", "resume", str(begun[0]), PYTHONPATH="src")
        return Path(begun[0])
    result = project.succeed(*command, PYTHONPATH="src")
    (name,) = re.findall(r"^sweep (\S+): the trials are in", result.output, re.MULTILINE)
    return Path(project.root, "sweeps", name)
