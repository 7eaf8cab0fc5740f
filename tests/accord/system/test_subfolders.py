"""Commands run in a subfolder of the project, and their runs in MLflow."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.mlflow_store import LOOK
from tests.projects import Project

pytestmark = pytest.mark.slow

FOLDER = "conf/model"
TO_ROOT = "../.."


def succeed(project: Project, *command: str) -> str:
    """Run a command in a subfolder of a project, with the project's code; return its output."""
    below = Project(project.repository, os.path.join(project.below, FOLDER))  # noqa: PTH118  (below may be "")
    return below.succeed(*command, PYTHONPATH=f"{TO_ROOT}/src").output


def test_commands_in_a_subfolder_work_on_the_project_and_take_paths_relative_to_it(project: Project) -> None:
    def folders() -> set[Path]:
        return {path for path in project.repository.rglob("*") if path.is_dir()}

    before = folders()

    assert "MLflow did not have it" in succeed(project, "python", "-m", "digits", "sync")
    assert succeed(project, "python", "-m", "digits", "check") == "nothing is damaged\n"
    composed = (project.root / "params.yaml").read_bytes()
    succeed(project, "python", "-m", "digits", "compose")
    assert (project.root / "params.yaml").read_bytes() == composed
    own = f"{TO_ROOT}/sweeps/own"
    sweep = ("python", "-m", "digits.sweep")
    swept = succeed(project, *sweep, "-m", "model=sgd,mlp", "train.epochs=2", f"hydra.sweep.dir={own}")
    assert f"the trials are in {own};" in swept
    succeed(project, "python", "-m", "digits", "resume", own)
    succeed(project, "python", "-m", "digits", "promote", own, "--name", "best")
    succeed(project, *sweep, "model=sgd", "train.epochs=1")

    assert (project.root / "conf/experiment/best.yaml").is_file()
    assert (project.root / "sweeps/own/1/result.json").is_file()
    new = {path.relative_to(project.repository) for path in folders() - before}
    allowed = {Path(project.below, name) for name in ("mlartifacts", "sweeps", ".dvc", "src")}
    assert [path for path in new if not allowed.intersection([path, *path.parents])] == []
    assert not list(project.repository.parent.glob("sweeps"))
    models, sources = json.loads(project.succeed("python", "-c", LOOK).output.splitlines()[-1])
    assert len(models) == 5
    for metrics in models:
        assert max(Counter(name for name, _, _ in metrics).values()) == 1
        figures = {name: value for name, value, _ in metrics}
        assert {step for _, _, step in metrics} == {figures["selected.epoch"]}
        for name in ("val.accuracy", "test.accuracy", "test.loss"):
            assert figures[name] == figures[f"selected.{name}"]
    assert set(sources) == {"train.npy", "val.npy", "test.npy"}
    for folder in sources.values():
        assert folder == str(project.root / "data/prepared")
        assert any(Path(folder).iterdir())
