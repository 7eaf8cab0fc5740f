"""Whatever is killed at whatever moment, the same command gives the same bytes, and MLflow one run a stage."""

import re
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from accord.files import sha256_file
from tests.system.faults.killing import LOG, Command, Draw, Hit, draws
from tests.system.faults.report import KILLS

FEW = ("compose", "download", "preprocess", "train@rnn", "sweep")  # where one is killed in every test run
USUAL = {"compose": 3, "download": 6, "preprocess": 6, "train@rnn": 12, "sweep": 15}  # seconds on an idle machine
PARENT = "mlflow.parentRunId"
SWEEP = ["python", "-m", "seqmnist.sweep", "-m", "cell=rnn,lstm"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "draw" in metafunc.fixturenames:
        is_campaign = metafunc.config.getoption("campaign")
        wanted = KILLS if is_campaign else dict.fromkeys(FEW, 1)
        of_sweep = "sweep" in metafunc.function.__name__
        every = [
            draw
            for stage, count in wanted.items()
            if (stage == "sweep") == of_sweep
            for draw in draws(stage, count, of=KILLS[stage])
        ]
        metafunc.parametrize("draw", every, ids=[f"{draw.stage}-{draw.victim}-{draw.moment:.2f}" for draw in every])


@pytest.fixture(scope="module")
def seconds(base: Any, is_campaign: bool, tmp_path_factory: pytest.TempPathFactory, forget: Any) -> Any:
    """Gives how long a command takes when nothing disturbs it, in a campaign measured once."""
    known: dict[str, float] = {} if is_campaign else dict(USUAL)

    def measure(stage: str) -> float:
        if stage not in known:
            project = base.copy(tmp_path_factory.mktemp("measured") / "clone")
            if stage != "sweep":
                forget(project, stage)
            start = time.monotonic()
            assert Command(project, command(stage)).process.wait() == 0
            known[stage] = time.monotonic() - start
        return known[stage]

    return measure


def command(stage: str) -> list[str]:
    return SWEEP if stage == "sweep" else ["dvc", "repro", stage]


def kill(make: Any, draw: Draw, seconds: float) -> tuple[Any, Hit, list[psutil.Process]]:
    """Kill a command of a clone at the drawn moment; where it was over by then, earlier in another clone.

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


def test_a_killed_stage_is_made_good_by_the_same_command(
    draw: Draw,
    base: Any,
    tmp_path: Path,
    fault: Any,
    seconds: Any,
    forget: Any,
    repair: Any,
    assert_same: Any,
    runs: Any,
) -> None:
    clones = iter(range(100))

    def make() -> Any:
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
    if draw.stage != "compose":  # which logs no run
        # DVC runs a stage again whose end it could not note: that is a second run.
        again = ended if draw.stage in result.stages_run else 0
        assert len(finished(project, draw.stage, runs, strictly=True)) == 1 + again, hit


def finished(project: Any, stage: str, runs: Any, *, strictly: bool = False) -> list[Any]:
    every = runs(project, strictly=strictly)
    return [run for run in every if run.info.run_name == stage and run.info.status == "FINISHED"]


def test_a_killed_sweep_is_resumed(
    draw: Draw, base: Any, tmp_path: Path, fault: Any, seconds: Any, runs: Any, expected: dict[str, str]
) -> None:
    clones = iter(range(100))
    project, hit, orphans = kill(lambda: base.copy(tmp_path / str(next(clones))), draw, seconds("sweep"))
    fault.inject("SIGKILL: sweep", str(hit))
    assert "Traceback" not in (project.root / ".git" / LOG).read_text()

    folder = resumed(project)

    _, alive = psutil.wait_procs(orphans, timeout=60)
    assert not alive
    for number, cell in enumerate(("rnn", "lstm")):
        weights = f"models/{cell}/seed-42.weights.h5"
        assert sha256_file(folder / str(number) / weights) == expected[weights]
    every = runs(project, "seqmnist-sweeps", strictly=True)
    (parent,) = [run for run in every if run.info.status == "FINISHED" and PARENT not in run.data.tags]
    trials = [run for run in every if run.data.tags.get(PARENT) == parent.info.run_id]
    assert parent.info.run_name == f"sweep {folder.name}"
    assert sorted((run.info.run_name, run.info.status) for run in trials) == [("lstm", "FINISHED"), ("rnn", "FINISHED")]


def resumed(project: Any) -> Path:
    """The folder of the sweep after what a user does: resume it, or where it had not begun start it again."""
    begun = [path.parent for path in (project.root / "sweeps").glob("*/sweep.json")]
    if begun:
        project.succeed("python", "-m", "seqmnist", "resume", str(begun[0]), PYTHONPATH="src")
        return Path(begun[0])
    result = project.succeed(*SWEEP, PYTHONPATH="src")
    (name,) = re.findall(r"^sweep (\S+): the trials are in", result.output, re.MULTILINE)
    return Path(project.root, "sweeps", name)
