"""Commands that are given below the repository's root, and what MLflow then has."""

import json
import os
from collections import Counter
from pathlib import Path

from tests.projects import Project

LOOK = """
import json, mlflow, mlflow.data
from mlflow import MlflowClient
client = MlflowClient("sqlite:///mlflow.db")
ids = [one.experiment_id for one in client.search_experiments()]
models = [[(m.key, m.value, m.step) for m in one.metrics] for one in client.search_logged_models(ids)]
runs = client.search_runs(ids)
sources = {i.dataset.name: mlflow.data.get_source(i).load() for run in runs for i in run.inputs.dataset_inputs}
print(json.dumps([models, sources]))
"""


class Below:
    """Runs commands in a folder of a project, with the code of that project."""

    def __init__(self, project: Project, folder: str) -> None:
        self._project, self._up = Project(project.root / folder), os.path.relpath(project.root, project.root / folder)

    def succeed(self, *command: str) -> str:
        return self._project.succeed(*command, PYTHONPATH=f"{self._up}/src").output


def test_commands_below_the_root_work_there_and_take_paths_from_where_they_are_given(project: Project) -> None:
    below = Below(project, "docs/figures")
    tree = {path for path in project.root.rglob("*") if path.is_dir()}

    assert "MLflow did not have it" in below.succeed("python", "-m", "seqmnist", "sync")
    assert below.succeed("python", "-m", "seqmnist", "check") == "nothing is damaged\n"
    composed = (project.root / "params.yaml").read_bytes()
    below.succeed("python", "-m", "seqmnist", "compose")
    assert (project.root / "params.yaml").read_bytes() == composed
    own = "hydra.sweep.dir=../../sweeps/own"
    swept = below.succeed("python", "-m", "seqmnist.sweep", "-m", "cell=rnn,lstm", "train.epochs=2", own)
    assert "the trials are in ../../sweeps/own;" in swept
    below.succeed("python", "-m", "seqmnist", "resume", "../../sweeps/own")
    below.succeed("python", "-m", "seqmnist", "promote", "../../sweeps/own", "--name", "best")
    below.succeed("python", "-m", "seqmnist.sweep", "cell=rnn", "train.epochs=1")

    assert (project.root / "conf/experiment/best.yaml").is_file()
    assert (project.root / "sweeps/own/1/result.json").is_file()
    new = {path for path in project.root.rglob("*") if path.is_dir()} - tree
    assert {path.relative_to(project.root).parts[0] for path in new} <= {"mlartifacts", "sweeps", ".dvc", "src"}
    assert not list(project.root.parent.glob("sweeps"))
    models, sources = json.loads(project.succeed("python", "-c", LOOK).output.splitlines()[-1])
    assert len(models) == 5
    for metrics in models:
        assert max(Counter(name for name, _, _ in metrics).values()) == 1
        figures = {name: value for name, value, _ in metrics}
        assert {step for _, _, step in metrics} == {figures["selected.epoch"]}
        for name in ("val.accuracy", "test.accuracy", "test.loss"):
            assert figures[name] == figures[f"selected.{name}"]
        assert not any(name.startswith("last.") for name in figures)
    for name, folder in sources.items():
        assert folder == str(project.root / ("data/processed" if "." in name else "data/raw"))
        assert any(Path(folder).iterdir())
