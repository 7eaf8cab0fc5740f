"""Sweeps over cells by the real command: weights, figures, promotion into the pipeline, and the search in conf/search.

tests/accord/system tests how a sweep runs its trials and handles those that fail or are stopped.
"""

import re
from pathlib import Path

import pytest
from mlflow.entities import Run

from tests.mlflow_store import artifacts, parent_and_trials, steps
from tests.projects import Once, Project

pytestmark = pytest.mark.slow

SWEEP = ("python", "-m", "seqmnist.sweep", "-m")


def trials_of(project: Project) -> tuple[Run, dict[str, Run]]:
    return parent_and_trials(project, "seqmnist-sweeps")


def sweep_folder(project: Project) -> Path:
    (folder,) = (project.root / "sweeps").iterdir()
    return folder


@pytest.fixture(scope="module")
def swept(reproduced: Project, once: Once) -> Project:
    """Return a clone after a sweep over two learning rates, which the tests of this module only read."""
    values = ["cell=lstm", "train.learning_rate=1e-3,2e-2", "train.epochs=2"]
    return Project(once("swept", lambda target: reproduced.copy(target).succeed(*SWEEP, *values, PYTHONPATH="src")))


def test_a_trial_with_the_pipelines_values_has_the_same_weights(swept: Project) -> None:
    _, trials = trials_of(swept)
    assert sorted(trials) == ["lstm lr=0.001", "lstm lr=0.02"]
    for run in trials.values():
        for metric in ("val.accuracy", "test.accuracy", "train.loss", "time.epoch_seconds"):
            assert steps(swept, run, metric) == [0, 1]
    number = trials["lstm lr=0.001"].data.tags["sweep.trial"]
    name = "models/lstm/seed-42.weights.h5"
    assert (sweep_folder(swept) / number / name).read_bytes() == (swept.root / name).read_bytes()


def test_the_run_of_a_sweep_has_figures(swept: Project) -> None:
    parent, _ = trials_of(swept)
    for figure in ("parallel_coordinates.png", "learning_curves.png"):
        assert (artifacts(parent) / figure).read_bytes().startswith(b"\x89PNG")


def test_the_promoted_best_trial_gives_the_same_accuracy_in_the_pipeline(swept: Project, tmp_path: Path) -> None:
    project = swept.copy(tmp_path / "clone")
    winner = trials_of(swept)[1]["lstm lr=0.02"]
    store = f"sqlite:///{swept.root / 'mlflow.db'}"
    before = {cell: (project.root / f"models/{cell}/seed-42.weights.h5").read_bytes() for cell in ("rnn", "lstm")}

    result = project.succeed(
        "python", "-m", "seqmnist", "promote", winner.info.run_id, PYTHONPATH="src", MLFLOW_TRACKING_URI=store
    )

    text = (project.root / "conf/experiment/lstm_lr-0.02.yaml").read_text()
    assert "cells:\n  lstm:\n    train:\n      learning_rate: 0.02\n" in text
    run = project.succeed(*result.output.splitlines()[-1].split())
    assert "train@rnn" not in run.stages_run
    assert "train@lstm" in run.stages_run
    metrics = project.metrics()["lstm"]["selected"]
    assert metrics["val"]["accuracy"] == winner.data.metrics["selected.val.accuracy"]
    assert metrics["test"]["accuracy"] == winner.data.metrics["selected.test.accuracy"]
    assert (project.root / "models/rnn/seed-42.weights.h5").read_bytes() == before["rnn"]
    assert (project.root / "models/lstm/seed-42.weights.h5").read_bytes() != before["lstm"]


def test_a_sweep_whose_files_name_the_callback_by_its_former_path_is_resumed(swept: Project, tmp_path: Path) -> None:
    """The callback's class was once `seqmnist.sweep.parent.ParentRun`. One of the trials has no result."""
    project = swept.copy(tmp_path / "clone")
    folder = sweep_folder(project)
    named = [folder / "multirun.yaml", *folder.glob("*/.hydra/hydra.yaml")]
    assert len(named) == 3
    for path in named:
        text = path.read_text().replace("accord.sweep.sweep_run.SweepRun", "seqmnist.sweep.parent.ParentRun")
        assert "seqmnist.sweep.parent.ParentRun" in text
        path.write_text(text)
    (folder / "0/result.json").unlink()
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*/models/*/*.weights.h5")}

    output = project.succeed("python", "-m", "seqmnist", "resume", str(folder), PYTHONPATH="src").output

    assert len(re.findall(r"^#\d lstm lr=\S+: validation accuracy", output, re.MULTILINE)) == 2
    changed = {path.parts[-4] for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {"0"}, "a trial with a result ran again"


def test_the_search_in_conf_draws_values_prunes_bad_trials_and_logs_the_best(project: Project) -> None:
    search = ["search=optuna", "cell=rnn", "train.epochs=4", "hydra.sweeper.n_trials=6"]
    search += ["hydra.sweeper.n_startup_trials=2", "hydra.sweeper.pruner=percentile", "hydra.sweeper.percentile=10"]
    units = "cell.units=choice(2,8)"
    result = project.run(*SWEEP, *search, units, PYTHONPATH="src")
    assert result.code == 0, result.output
    assert "Traceback" not in result.output
    parent, trials = trials_of(project)
    assert len({re.findall(r"lr=(\S+)", name)[0] for name in trials}) == 6
    pruned = {name: run for name, run in trials.items() if "pruned" in run.data.tags}
    assert 0 < len(pruned) < 5, "none was pruned, or one of the two start-up trials"
    for run in trials.values():
        epochs = steps(project, run, "val.accuracy")
        assert epochs == list(range(len(epochs)))
        assert int(run.data.tags.get("pruned", 3)) < len(epochs)
        assert run.info.status == "FINISHED"
    whole = [run for name, run in trials.items() if name not in pruned]
    best = max(run.data.metrics["selected.val.accuracy"] for run in whole)
    assert parent.data.metrics["best.val.accuracy"] == best
    pictures = {path.name for path in artifacts(parent).glob("*.png")}
    assert pictures >= {"history.png", "learning_curves.png", "parallel_coordinates.png", "slices.png"}
