"""`seqmnist sync` logs the runs and models of all stages that MLflow lacks."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.mlflow_store import curve, runs_by_name, runs_in

pytestmark = pytest.mark.slow

STAGES = {"download", "preprocess", "train@rnn", "train@lstm", "evaluate"}


def sync(project: Any) -> Any:
    return project.succeed("python", "-m", "seqmnist", "sync", PYTHONPATH="src")


def test_sync_fills_an_empty_store_from_the_outputs_only_once(project: Any, reproduced: Any) -> None:
    result = sync(project)

    made, original = runs_by_name(project, "seqmnist"), runs_by_name(reproduced, "seqmnist")
    assert set(made) == set(original) == STAGES
    assert result.output.count("MLflow did not have it: logged now") == len(STAGES)
    for name, run in made.items():
        assert run.info.status == "FINISHED"
        assert run.data.tags["source"] == "dvc-cache"
        assert "source" not in original[name].data.tags
        assert run.data.params == original[name].data.params
        timeless = {metric for metric in original[name].data.metrics if not metric.startswith("time.")}
        assert {metric: run.data.metrics[metric] for metric in timeless} == {
            metric: original[name].data.metrics[metric] for metric in timeless
        }
        for tag in ("config.sha256", "data.sha256", "train.sha256", "splits.sha256", "metrics.sha256"):
            assert run.data.tags.get(tag) == original[name].data.tags.get(tag)
    for metric in ("train.loss", "val.accuracy"):
        assert curve(project, made["train@lstm"], metric) == curve(reproduced, original["train@lstm"], metric)
    assert len(made["train@rnn"].outputs.model_outputs) == 1
    trained = [made[f"train@{cell}"].info.run_id for cell in ("rnn", "lstm")]
    assert made["evaluate"].data.tags["train.runs"].split() == trained

    assert "MLflow did not" not in sync(project).output
    after = runs_by_name(project, "seqmnist")
    assert {run.info.run_id for run in after.values()} == {run.info.run_id for run in made.values()}


def test_models_whose_files_were_lost_are_logged_again(project: Any, serving: Any, tmp_path: Path) -> None:
    sync(project)
    shutil.rmtree(project.root / "mlartifacts")
    moved = type(project)(project.root.rename(tmp_path / "elsewhere"))

    assert sync(moved).output.count("MLflow had lost the files of its model: logged again") == 2

    with serving(moved, "seqmnist.serve") as output:
        assert "champion of seqmnist-tiny: version 3 (" in output
    assert "logged again" not in sync(moved).output


def test_the_run_of_an_evaluation_names_the_runs_of_skipped_trainings(project: Any) -> None:
    sync(project)
    project.succeed("dvc", "repro", "--force", "--single-item", "evaluate")
    newest, *_ = runs_in(project, "seqmnist", stage="evaluate")
    trained = [runs_in(project, "seqmnist", stage="train", cell=cell)[0].info.run_id for cell in ("rnn", "lstm")]
    assert newest.data.tags["train.runs"].split() == trained


def test_sync_before_the_first_dvc_repro_names_the_missing_file(unrun: Any) -> None:
    result = unrun.run("python", "-m", "seqmnist", "sync", PYTHONPATH="src")
    assert result.code == 1
    (line,) = result.output.splitlines()
    assert line.startswith("error: reports/train/rnn/history.csv is missing: run `dvc repro`")
