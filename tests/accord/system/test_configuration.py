"""Mistakes in the configuration, which stop every command before any work with one line."""

import pytest

from tests.projects import Project


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("conf/model/mlp.yaml", "alpha: 0.0001", "alpha: -1.0", ["models.mlp.alpha", "-1.0", "equal to 0"]),
        ("conf/train/default.yaml", "epochs: 3", "epochs: -1", ["train.epochs", "-1", "greater than or equal to 1"]),
        ("conf/train/default.yaml", "epochs: 3", "epochs: 3\nepoch: 3", ["train.epoch:", "unknown key", "epochs"]),
        ("conf/train/default.yaml", "epochs: 3", "epochs: abc", ["train.epochs", "'abc'", "integer"]),
        ("conf/data/digits.yaml", "validation: 300", "validation: 900", ["data.validation", "900", "equal to 800"]),
        ("conf/model/sgd.yaml", "type: sgd", "type: svm", ["models.sgd.type", "'svm'", "'sgd' or 'mlp'"]),
        ("conf/base.yaml", "train: default", "train: nothing", ["train/nothing", "default"]),
        ("conf/config.yaml", "- _self_", "- _self_]", ["conf"]),
    ],
    ids=["negative penalty", "negative epochs", "unknown key", "wrong type", "range", "choice", "group", "syntax"],
)
def test_a_mistake_gives_one_line_and_changes_nothing(
    project: Project, file: str, old: str, new: str, expected: list[str]
) -> None:
    project.refuses_edit(file, old, new, expected)


def test_experiment_with_an_impossible_value_is_refused(project: Project) -> None:
    before = (project.root / "params.yaml").read_bytes()
    result = project.run("dvc", "exp", "run", "-S", "train.epochs=0")
    assert result.code != 0
    assert "train.epochs = 0 is impossible" in result.output
    assert result.stages_run == []
    assert (project.root / "params.yaml").read_bytes() == before


@pytest.mark.slow
def test_analytics_and_telemetry_are_off(reproduced: Project) -> None:
    assert reproduced.succeed("dvc", "config", "core.analytics").output.strip() == "false"
    assert reproduced.succeed("dvc", "config", "core.check_update").output.strip() == "false"
    program = "import accord.tracking.store, mlflow.telemetry.utils as t; print(t.is_telemetry_disabled())"
    assert reproduced.succeed("python", "-c", program).output.split() == ["True"]
