"""Runs, models and data sets in MLflow after stages that ran or failed."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from accord.files import sha256_files
from tests.mlflow_store import curve, runs, runs_by_name, runs_in, steps
from tests.projects import Project

MODELS = ("sgd", "mlp")
PREDICT = """
import sys
sys.modules["digits"] = sys.modules["accord"] = None
import json, mlflow, numpy as np
mlflow.set_tracking_uri({store!r})
table = np.load("data/prepared/test.npy")
print(json.dumps(mlflow.pyfunc.load_model({model!r}).predict(table[:, :-1] / 16).tolist()))
"""
EXPECTED = """
import json
from digits.learner import read
from digits.prepare import Path, read_splits
print(json.dumps(read(Path("models/mlp/model.pickle")).predict(read_splits(Path("data/prepared"))["test"][0]).tolist()))
"""


def test_each_stage_logs_one_finished_run(reproduced: Project) -> None:
    names = {name: run.info.status for name, run in runs_by_name(reproduced, "digits").items()}
    assert names == dict.fromkeys(["prepare", "train@sgd", "train@mlp", "evaluate"], "FINISHED")


@pytest.mark.slow
def test_store_is_at_the_root_whatever_the_working_directory(project: Project) -> None:
    conf = Project(project.repository, f"{project.below}/conf")
    conf.succeed("dvc", "repro", "--force", "--single-item", "../dvc.yaml:prepare")
    assert list(project.repository.rglob("mlflow.db")) == [project.root / "mlflow.db"]
    (run,) = runs_in(project, "digits", stage="prepare")
    assert run.info.artifact_uri.startswith((project.root / "mlartifacts").as_uri())


@pytest.mark.slow
def test_environment_chooses_another_store(project: Project, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/elsewhere/runs.db"
    project.succeed("dvc", "repro", "--force", "--single-item", "prepare", MLFLOW_TRACKING_URI=uri)
    assert (tmp_path / "elsewhere/runs.db").exists()
    assert not (project.root / "mlflow.db").exists()


def test_tags_identify_configuration_code_and_content(reproduced: Project) -> None:
    params = hashlib.sha256((reproduced.root / "params.yaml").read_bytes()).hexdigest()
    for model in MODELS:
        (run,) = runs_in(reproduced, "digits", stage="train", model=model)
        tags = run.data.tags
        content = (reproduced.root / "models" / model / "model.pickle").read_bytes()
        assert tags["model.sha256"] == hashlib.sha256(content).hexdigest()
        assert tags["config.sha256"] == params
        assert tags["git.commit"] == reproduced.succeed("git", "rev-parse", "HEAD~").output.strip()
        assert tags["git.dirty"] == "false"
        assert re.fullmatch("[0-9a-f]{64}", tags["train.sha256"])


def test_both_models_have_the_same_parameter_and_metric_names(reproduced: Project) -> None:
    (sgd,), (mlp,) = (runs_in(reproduced, "digits", stage="train", model=model) for model in MODELS)
    assert set(sgd.data.params) == set(mlp.data.params)
    assert set(sgd.data.params) >= {"model.type", "model.alpha", "train.epochs", "data.validation", "seed"}
    assert set(sgd.data.metrics) == set(mlp.data.metrics)


def test_history_in_mlflow_is_the_history_on_disk(reproduced: Project) -> None:
    (run,) = runs_in(reproduced, "digits", stage="train", model="mlp")
    history = reproduced.history("mlp")
    assert len(history) == 3
    for metric in set(history[0]) - {"epoch"}:
        assert curve(reproduced, run, metric) == [(int(row["epoch"]), float(row[metric])) for row in history]
    best = max(history, key=lambda row: float(row["val.accuracy"]))
    assert run.data.metrics["selected.epoch"] == int(best["epoch"])
    assert run.data.metrics["selected.test.accuracy"] == float(best["test.accuracy"])
    assert run.data.metrics["selected.test.accuracy"] == reproduced.metrics()["mlp"]["accuracy"]


def test_data_sets_carry_the_digests_of_the_splits(reproduced: Project) -> None:
    (run,) = runs_in(reproduced, "digits", stage="prepare")
    inputs = {part.dataset.name: json.loads(part.dataset.source)["sha256"] for part in run.inputs.dataset_inputs}
    assert inputs == sha256_files(reproduced.root / "data/prepared")
    assert set(inputs) == {"train.npy", "val.npy", "test.npy"}


def test_logged_model_loads_where_the_packages_are_not(reproduced: Project) -> None:
    (run,) = runs_in(reproduced, "digits", stage="train", model="mlp")
    (model,) = run.outputs.model_outputs
    program = PREDICT.format(store=f"sqlite:///{reproduced.root / 'mlflow.db'}", model=f"models:/{model.model_id}")
    predicted = json.loads(reproduced.succeed("python", "-c", program).output.splitlines()[-1])
    expected = json.loads(reproduced.succeed("python", "-c", EXPECTED, PYTHONPATH="src").output)
    assert predicted == expected
    assert len(set(predicted)) > 1


@pytest.mark.slow
def test_diverged_training_ends_at_once_as_failed(project: Project) -> None:
    project.edit("conf/model/mlp.yaml", "learning_rate: 0.01", "learning_rate: 1.0e+300")
    result = project.run("dvc", "repro", "train@mlp")
    assert result.code != 0
    (error,) = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert "training diverged in epoch 0" in error
    assert "Traceback" not in result.output
    (run,) = runs_in(project, "digits", stage="train")
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] in error


@pytest.mark.slow
def test_variables_for_other_programs_of_mlflow_have_no_effect(project: Project) -> None:
    stale = {
        "MLFLOW_ACTIVE_MODEL_ID": "m-0123",
        "_MLFLOW_ACTIVE_MODEL_ID": "m-0123",
        "MLFLOW_CONFIGURE_LOGGING": "loud",
        "MLFLOW_LOGGING_LEVEL": "loud",
        "MLFLOW_LOCK_MODEL_DEPENDENCIES": "true",
        "MLFLOW_RUN_ID": "0123",
        "MLFLOW_EXPERIMENT_ID": "77",
        "MLFLOW_EXPERIMENT_NAME": "gone",
        "MLFLOW_RUN_CONTEXT": "none",
        "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
    }
    output = project.succeed("python", "-m", "digits.train", "sgd", PYTHONPATH="src", **stale).output
    assert "Locking" not in output
    (run,) = runs(project, "digits")
    assert (run.info.status, len(run.outputs.model_outputs)) == ("FINISHED", 1)
    assert steps(project, run, "val.accuracy") == list(range(len(project.history("sgd"))))
