"""Trainings that are killed at work, and that go on: for the projects whose tests do so."""

import signal
from dataclasses import dataclass
from pathlib import Path

import psutil
from mlflow.entities import Run

from tests.mlflow_store import runs, steps
from tests.projects import Project


@dataclass(frozen=True)
class Training:
    """A stage that trains one variant, and how it shows itself."""

    variant: str
    experiment: str  # of MLflow
    checkpoints: str  # folder of its checkpoints
    line: str  # part of the line that an epoch prints, with {} for its number
    epochs: int
    seed: int | None = None  # where the stage trains several

    @property
    def stage(self) -> str:
        """Its name for DVC."""
        return f"train@{self.variant}"

    @property
    def run_name(self) -> str:
        """The name of its runs."""
        return self.stage if self.seed is None else f"{self.stage} seed={self.seed}"

    @property
    def outputs(self) -> list[str]:
        """Its folders."""
        return [f"models/{self.variant}", f"reports/train/{self.variant}"]

    def printed(self, epoch: int) -> str:
        """Return a part of the line that only this epoch prints."""
        return self.line.format(epoch)

    def runs(self, project: Project) -> list[Run]:
        """Return its runs, the newest first."""
        return runs(project, self.experiment, f"attributes.run_name = '{self.run_name}' and tags.stage = 'train'")

    def kill(self, project: Project, epoch: int) -> list[Path]:
        """Kill `dvc repro` and all that it started after an epoch; return the checkpoints that are left."""
        process = project.start("dvc", "repro", self.stage)
        assert process.stdout is not None
        for line in process.stdout:
            if self.printed(epoch) in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()  # DVC first: on a child's death it would rewrite its lock file, and be killed in the midst of it
        for child in children:
            child.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        (run,) = self.runs(project)
        assert run.info.status == "RUNNING", "the training was still at it"
        return sorted((project.root / "checkpoints" / self.checkpoints).glob("*/after-*"))

    def assert_same_outputs(self, project: Project, straight: Project) -> None:
        """Assert that its outputs have the bytes of those of another project."""
        ours, theirs = project.output_hashes(), straight.output_hashes()
        for path in self.outputs:
            assert ours[path] == theirs[path], path

    def assert_as_if_never_stopped(self, project: Project, straight: Project) -> None:
        """Assert the bytes of a training without a break, no checkpoint, and one run that has each epoch once."""
        self.assert_same_outputs(project, straight)
        assert list((project.root / "checkpoints").rglob("after-*")) == []
        (run,) = self.runs(project)
        assert run.info.status == "FINISHED"
        expected = {"selected": [run.data.metrics["selected.epoch"]], "last": [self.epochs - 1]}
        assert {"val.accuracy", "train.loss", "selected.epoch"} <= set(run.data.metrics)
        for metric in run.data.metrics:
            wanted = expected.get(metric.partition(".")[0], list(range(self.epochs)))
            assert steps(project, run, metric) == wanted, metric
        assert len(run.outputs.model_outputs) == 1
