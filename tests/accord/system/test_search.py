"""Searches by the real command: values, pruning, interruption, and their records in MLflow and Optuna."""

import csv
import random
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import optuna
import pytest
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

from accord.sweep.search.journal import NAME, open_journal
from tests import mlflow_store
from tests.mlflow_store import artifacts, steps
from tests.projects import Once, Project, Result

SWEEP = ("python", "-m", "digits.sweep", "-m", "search=optuna")
EPOCHS = 10
FEW = ("hydra.sweeper.n_trials=6", "hydra.sweeper.n_startup_trials=3", f"train.epochs={EPOCHS}")
# With this seed the first four rates are above 0.001. The last two are below 0.0001: ten epochs learn nothing.
RATES = ("hydra.sweeper.seed=347", "hydra.sweeper.sampler=random", "model.learning_rate=tag(log, interval(1e-6, 0.1))")
FOLDER = "hydra.sweep.dir=sweeps/mine"


def search(project: Project, *overrides: str) -> Result:
    return project.run(*SWEEP, *FEW, *RATES, FOLDER, *overrides, PYTHONPATH="src")


def parent_and_trials(project: Project) -> tuple[Run, dict[int, Run]]:
    """Return the search's own run, and the runs of its trials by number."""
    parent, trials = mlflow_store.parent_and_trials(project, "digits-sweeps")
    return parent, {int(run.data.tags["sweep.trial"]): run for run in trials.values()}


def study(project: Project, name: str = "mine") -> list[FrozenTrial]:
    """Return the trials of a search as Optuna reads them."""
    return optuna.load_study(study_name=NAME, storage=open_journal(project.root / "sweeps" / name)).trials


def comparable(trial: FrozenTrial) -> tuple[object, ...]:
    """Return all fields of a trial but its times."""
    return trial.number, trial.state, trial.params, trial.values, trial.intermediate_values


@pytest.fixture(scope="module")
def searched(reproduced: Project, once: Once) -> Project:
    """Return a project after a search. Tests read it and do not change it."""

    def make(target: Path) -> None:
        project = reproduced.copy(target)
        result = search(project)
        assert result.code == 0, result.output
        (project.root / "output.txt").write_text(result.output)

    return Project(once("searched digits", make), reproduced.below)


def test_each_trial_has_its_own_values_and_its_result_is_printed(searched: Project) -> None:
    parent, runs = parent_and_trials(searched)
    trials = study(searched)
    assert sorted(runs) == [trial.number for trial in trials] == list(range(6))
    assert parent.info.status == "FINISHED"
    assert len({trial.params["model.learning_rate"] for trial in trials}) == 6
    for trial in trials:
        run = runs[trial.number]
        assert run.info.status == "FINISHED"
        assert float(run.data.params["model.learning_rate"]) == trial.params["model.learning_rate"]
        assert int(run.data.params["train.batch_size"]) == trial.params["train.batch_size"]
        if trial.state == TrialState.COMPLETE:
            assert trial.value == run.data.metrics["selected.val.accuracy"]
            assert len(trial.intermediate_values) == EPOCHS


def test_bad_trials_are_pruned_and_never_ranked_best(searched: Project) -> None:
    parent, runs = parent_and_trials(searched)
    pruned = {one.number: max(one.intermediate_values) for one in study(searched) if one.state == TrialState.PRUNED}
    assert pruned
    assert min(pruned) >= 3, "the first three are there to compare with"
    assert {number: int(run.data.tags["pruned"]) for number, run in runs.items() if "pruned" in run.data.tags} == pruned
    for number, epoch in pruned.items():
        epochs = steps(searched, runs[number], "val.accuracy")
        assert epochs == list(range(len(epochs)))
        assert 1 <= epoch < len(epochs)
    whole = [run for number, run in runs.items() if number not in pruned]
    best = max(run.data.metrics["selected.val.accuracy"] for run in whole)
    assert parent.data.metrics["best.val.accuracy"] == best
    assert parent.data.metrics["trials.pruned"] == len(pruned)
    with (artifacts(parent) / "trials.csv").open(newline="") as file:
        states = {int(row["trial"]): row["status"] for row in csv.DictReader(file)}
    assert states == {
        number: f"PRUNED at epoch {pruned[number]}" if number in pruned else "FINISHED" for number in runs
    }
    output = (searched.root / "output.txt").read_text()
    assert f"pruned: {', '.join(map(str, sorted(pruned)))}\n" in output


def test_a_search_shows_importances(searched: Project) -> None:
    output = (searched.root / "output.txt").read_text()
    found = re.findall(r"^importance of (\S+): (\d\.\d\d)$", output, re.MULTILINE)
    assert {key for key, _ in found} == {"model.learning_rate", "model.alpha", "train.batch_size"}
    shares = [float(share) for _, share in found]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=0.02)
    assert "Warning" not in output
    parent, _ = parent_and_trials(searched)
    names = {"history.png", "importances.png", "parallel_coordinates.png", "slices.png", "trials.csv"}
    assert {path.name for path in artifacts(parent).iterdir()} == names


@pytest.mark.slow
def test_the_same_command_runs_only_additional_trials(searched: Project, tmp_path: Path) -> None:
    project = searched.copy(tmp_path / "clone")
    before = list(map(comparable, study(project)))
    result = search(project, "hydra.sweeper.n_trials=7")
    assert result.code == 0, result.output
    assert list(map(comparable, study(project)))[:6] == before
    assert len(study(project)) == 7
    logs = [path.read_text() for path in (project.root / "sweeps/mine").glob("*/trial.log")]
    assert sum("epoch 0" in log for log in logs) == 7, "one more was trained"


@pytest.mark.slow
def test_a_killed_search_is_resumed_with_the_same_trials(reproduced: Project, tmp_path: Path) -> None:
    one = ("hydra.sweeper.workers=1", "hydra.sweeper.n_trials=7", "hydra.sweeper.sampler=tpe")
    straight, killed = reproduced.copy(tmp_path / "straight"), reproduced.copy(tmp_path / "killed")
    assert search(straight, *one).code == 0
    moments = random.Random(3)
    process = killed.start(*SWEEP, *FEW, *RATES, FOLDER, *one, PYTHONPATH="src")
    while not (killed.root / "sweeps/mine/sweep.json").exists():  # without this file there is nothing to resume
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    for _ in range(4):
        try:
            process.communicate(timeout=moments.uniform(3, 9))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            process = killed.start("python", "-m", "digits", "resume", "sweeps/mine", PYTHONPATH="src")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert list(map(comparable, study(killed))) == list(map(comparable, study(straight)))
    expected, found = parent_and_trials(straight)[1], parent_and_trials(killed)[1]
    assert sorted(found) == sorted(expected) == list(range(7))
    for number, run in found.items():
        epochs = steps(killed, run, "val.accuracy")
        assert run.info.status == "FINISHED"
        assert epochs == list(range(len(epochs))), "each once"
        assert ("pruned" in run.data.tags) == ("pruned" in expected[number].data.tags)


@pytest.mark.slow
def test_parallel_searches_do_not_disturb_each_other(reproduced: Project, tmp_path: Path) -> None:
    project = reproduced.copy(tmp_path / "clone")
    few = ("hydra.sweeper.n_trials=3", "hydra.sweeper.pruner=none", "train.epochs=2")
    processes = [project.start(*SWEEP, *few, f"hydra.sweeper.seed={seed}", PYTHONPATH="src") for seed in range(3)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    folders = sorted((project.root / "sweeps").iterdir())
    assert len(folders) == 3
    rates = [trial.params["model.learning_rate"] for folder in folders for trial in study(project, folder.name)]
    assert len(set(rates)) == 9
    runs = mlflow_store.runs(project, "digits-sweeps")
    parents = [run.info.run_id for run in runs if mlflow_store.PARENT not in run.data.tags]
    assert len(parents) == 3
    for parent in parents:
        assert sum(run.data.tags.get(mlflow_store.PARENT) == parent for run in runs) == 3


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["cmaes", "grid"])  # tests/accord/sweep/search has all samplers
def test_every_sampler_finds_values_and_resumes(reproduced: Project, tmp_path: Path, sampler: str) -> None:
    project = reproduced.copy(tmp_path / "clone")
    spaces = ["model.learning_rate=0.01,0.1", "model.alpha=0.001,0.01,0.1", "train.batch_size=64"]
    given = [*(spaces if sampler == "grid" else []), f"hydra.sweeper.sampler={sampler}", "train.epochs=2"]
    assert search(project, *given, "hydra.sweeper.n_trials=3").code == 0
    result = search(project, *given, "hydra.sweeper.n_trials=7")
    assert result.code == 0, result.output
    assert "Warning" not in result.output
    values = [tuple(trial.params.values()) for trial in study(project)]
    assert len(set(values)) == len(values) == (6 if sampler == "grid" else 7)
