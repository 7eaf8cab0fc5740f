"""Sync: MLflow gets the runs of stages that DVC skipped or restored from its cache."""

import shutil
from pathlib import Path

import pytest
from mlflow.entities import Run

from accord.files import sha256_file
from tests.mlflow_store import curve, runs_by_name, runs_in
from tests.projects import Project, Result

pytestmark = pytest.mark.slow

STAGES = {"prepare", "train@sgd", "train@mlp", "evaluate"}
SYNC = ("python", "-m", "digits", "sync")


def sync(project: Project) -> Result:
    return project.succeed(*SYNC, PYTHONPATH="src")


def test_an_empty_store_is_filled_from_the_outputs_once(project: Project, reproduced: Project) -> None:
    result = sync(project)

    made, original = runs_by_name(project, "digits"), runs_by_name(reproduced, "digits")
    assert set(made) == set(original) == STAGES
    assert result.output.count("MLflow did not have it: logged now") == len(STAGES)
    for name, run in made.items():
        assert run.info.status == "FINISHED"
        assert run.data.tags["source"] == "dvc-cache"
        assert "source" not in original[name].data.tags
        assert run.data.params == original[name].data.params
        assert run.data.metrics == original[name].data.metrics
        for tag in ("config.sha256", "prepare.sha256", "train.sha256", "evaluate.sha256", "model.sha256"):
            assert run.data.tags.get(tag) == original[name].data.tags.get(tag)
    for metric in ("train.loss", "val.accuracy"):
        assert curve(project, made["train@mlp"], metric) == curve(reproduced, original["train@mlp"], metric)
    assert len(made["train@sgd"].outputs.model_outputs) == 1

    assert "MLflow did not" not in sync(project).output
    after = runs_by_name(project, "digits")
    assert {run.info.run_id for run in after.values()} == {run.info.run_id for run in made.values()}


def test_sync_finds_the_runs_of_a_repro_and_makes_no_others(reproduced: Project, tmp_path: Path) -> None:
    project = Project(shutil.copytree(reproduced.repository, tmp_path / "clone", symlinks=True), reproduced.below)
    before = runs_by_name(reproduced, "digits")

    moved, line = sync(project).output.splitlines()

    assert moved.startswith(f"tracking: the store moved from {reproduced.root} to {project.root}")
    assert line.startswith("champion of digits: version ")
    after = runs_by_name(project, "digits")
    assert {run.info.run_id for run in after.values()} == {run.info.run_id for run in before.values()}
    for name, run in after.items():
        assert _placeless(run) == _placeless(before[name])


def _placeless(run: Run) -> dict[str, str]:
    """Return the tags of a run without the program's path, which differs in a copy."""
    return {key: value for key, value in run.data.tags.items() if key != "mlflow.source.name"}


def test_a_skipped_training_belongs_to_both_configurations(project: Project) -> None:
    sync(project)
    first = sha256_file(project.root / "params.yaml")
    project.edit("conf/model/mlp.yaml", "alpha: 0.0001", "alpha: 0.001")

    result = project.succeed("dvc", "repro")

    assert "train@sgd" in result.stages_skipped
    second = sha256_file(project.root / "params.yaml")

    def of(config: str, stage: str, **tags: str) -> list[Run]:
        found = runs_in(project, "digits", stage=stage, **tags)
        return [run for run in found if config in run.data.tags["config.sha256"].split()]

    (sgd,), (shared,) = of(first, "train", model="sgd"), of(second, "train", model="sgd")
    assert sgd.info.run_id == shared.info.run_id
    (old,), (new,) = of(first, "train", model="mlp"), of(second, "train", model="mlp")
    assert old.info.run_id != new.info.run_id
    (_,) = of(second, "evaluate")

    sync(project)
    assert len(of(second, "prepare")) == 1


def test_sync_before_the_pipeline_has_run_says_so(unrun: Project) -> None:
    result = unrun.run(*SYNC, PYTHONPATH="src")
    assert result.code == 1
    (line,) = result.output.splitlines()
    assert line == "error: data/prepared is missing: run `dvc repro`"
