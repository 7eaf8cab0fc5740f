"""Trainings that tests kill and resume, in either project."""

import signal
from dataclasses import dataclass
from pathlib import Path

import psutil
from mlflow.entities import Run

from tests.mlflow_store import runs, steps
from tests.projects import Project


@dataclass(frozen=True)
class Training:
    """A training stage of one variant, with the names of its runs, checkpoints and printed lines."""

    variant: str
    experiment: str  # in MLflow
    checkpoints: str  # folder below checkpoints/
    line: str  # part of the line that an epoch prints, with {} for the epoch's number
    epochs: int
    seed: int | None = None  # only where the stage trains several seeds

    @property
    def stage(self) -> str:
        """Name of the stage in DVC."""
        return f"train@{self.variant}"

    @property
    def run_name(self) -> str:
        """Name of its runs in MLflow."""
        return self.stage if self.seed is None else f"{self.stage} seed={self.seed}"

    @property
    def outputs(self) -> list[str]:
        """Output folders of the stage."""
        return [f"models/{self.variant}", f"reports/train/{self.variant}"]

    def printed(self, epoch: int) -> str:
        """Return the part of a printed line that marks the end of an epoch."""
        return self.line.format(epoch)

    def runs(self, project: Project) -> list[Run]:
        """Return its runs in MLflow, newest first."""
        return runs(project, self.experiment, f"attributes.run_name = '{self.run_name}' and tags.stage = 'train'")

    def kill(self, project: Project, epoch: int) -> list[Path]:
        """Kill `dvc repro` and its child processes after an epoch; return the checkpoints that are left."""
        process = project.start("dvc", "repro", self.stage)
        assert process.stdout is not None
        for line in process.stdout:
            if self.printed(epoch) in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()  # DVC first: after a child's death it would rewrite dvc.lock, and the kill might interrupt that
        for child in children:
            child.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        (run,) = self.runs(project)
        assert run.info.status == "RUNNING", "the training ended before it was killed"
        return sorted((project.root / "checkpoints" / self.checkpoints).glob("*/after-*"))

    def assert_same_outputs(self, project: Project, straight: Project) -> None:
        """Check that its outputs have the same bytes as in another project."""
        ours, theirs = project.output_hashes(), straight.output_hashes()
        for path in self.outputs:
            assert ours[path] == theirs[path], path

    def assert_as_if_never_stopped(self, project: Project, straight: Project) -> None:
        """Check that a resumed training is like an uninterrupted one.

        Its outputs have the same bytes, no checkpoint is left, and its only run has each epoch once.

        Args:
            project: Project with the resumed training.
            straight: Project with the uninterrupted training.
        """
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
