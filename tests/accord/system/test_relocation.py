"""Repositories that were moved or copied to a path that needs quoting."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from accord.files import sha256_files
from tests.projects import Project

pytestmark = pytest.mark.slow

NAME = "mu\u0308ller (1) #2 %20 it's [x]; ?"
SWEEP = ("python", "-m", "digits.sweep", "-m", "model=sgd", "seed=1,2", "train.epochs=1", "hydra.sweep.dir=sweeps/x")
DIGITS = ("python", "-m", "digits")


def test_a_copy_logs_to_its_own_store_and_finds_its_results(project: Project, tmp_path: Path) -> None:
    project.succeed(*DIGITS, "sync", PYTHONPATH="src")
    project.succeed(*SWEEP, PYTHONPATH="src")
    before = sha256_files(project.repository)
    target = tmp_path / "some where" / NAME
    copy = Project(Path(shutil.copytree(project.repository, target, symlinks=True)), project.below)
    root = copy.root

    prepared = copy.succeed("dvc", "repro", "-f", "-s", "prepare").output

    assert prepared.count(f"tracking: the store moved from {project.root} to ") == 1
    client = MlflowClient(f"sqlite+pysqlite:///{root.as_uri().removeprefix('file://')}/mlflow.db")
    numbers = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(numbers)
    assert {run.info.artifact_uri.startswith(root.as_uri()) for run in runs} == {True}
    newest = next(run for run in runs if run.data.tags["stage"] == "prepare")
    assert len(list((root / "mlartifacts" / newest.info.run_id).rglob("params.yaml"))) == 1
    assert copy.succeed(*DIGITS, "check", PYTHONPATH="src").output == "nothing is damaged\n"
    assert copy.succeed(*DIGITS, "sync", PYTHONPATH="src").output.startswith("champion of digits: version ")

    log = (root / "sweeps/x/1/trial.log").read_bytes()
    resumed = copy.succeed(*DIGITS, "resume", "sweeps/x", PYTHONPATH="src").output
    assert "sgd seed=1" in resumed.partition("trial  ")[2]  # the table has the trial trained before
    assert (root / "sweeps/x/1/trial.log").read_bytes() == log  # no trial is trained again
    promoted = copy.succeed(*DIGITS, "promote", "sweeps/x", "--name", "found", PYTHONPATH="src").output
    assert promoted.startswith("conf/experiment/found.yaml:\n")
    (root / "sweeps/x/1/result.json").unlink()
    assert "sgd seed=2: validation accuracy" in copy.succeed(*DIGITS, "resume", "sweeps/x", PYTHONPATH="src").output

    shutil.rmtree(root / "models")
    (root / "mlflow.db").unlink()
    copy.succeed("dvc", "checkout")
    copy.succeed(*DIGITS, "sync", PYTHONPATH="src")  # makes a new store in the copy
    assert sha256_files(project.repository) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clone", "some where"]
    assert [path.name for path in target.parent.iterdir()] == [NAME]
