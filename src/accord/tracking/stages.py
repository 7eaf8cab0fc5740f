"""MLflow runs of stages, found by digests of their outputs: logged by the stage itself, or later from its outputs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accord import history
from accord.checkpoints import Checkpoints, State, training_key
from accord.errors import UserError
from accord.files import sha256_file, sha256_files, sha256_json
from accord.metric_names import EPOCH, SELECTED, in_words
from accord.paths import repository
from accord.project import find_project
from accord.settings import load_tracking
from accord.tracking.restore import found_or_restored
from accord.tracking.runs import Run, RunRequest, stage_run


@dataclass(frozen=True)
class Stage:
    """A stage whose run is found by the digest of its parameters and outputs."""

    request: RunRequest
    params: Mapping[str, Any]  # nested parameters to log
    outputs: tuple[Path, ...]  # files and folders that the stage makes
    log: Callable[[Run], object]  # function that logs the content of the outputs

    def identity(self) -> dict[str, str]:
        """Return the tag with the digest of the parameters and outputs; raise a `UserError` if an output is missing."""
        if missing := next((one for one in self.outputs if not one.exists()), None):
            raise UserError(f"{missing} is missing: run `dvc repro`")
        digests = {str(one): sha256_files(one) if one.is_dir() else sha256_file(one) for one in self.outputs}
        return {f"{self.request.stage}.sha256": sha256_json({"params": dict(self.params), "outputs": digests})}

    @contextmanager
    def run(self) -> Iterator[Run]:
        """Start the run, and log the outputs, which the block makes, at the end of the block."""
        with stage_run(load_tracking(), self.request) as run:
            run.params(self.params)
            yield run
            self._log_outputs(run)

    def in_mlflow(self) -> str:
        """Return the id of the run that made the outputs; if MLflow has none, log one from the outputs."""

        def log(run: Run) -> None:
            run.params(self.params)
            self._log_outputs(run)

        return found_or_restored(load_tracking(), self.request, self.identity(), log)

    def _log_outputs(self, run: Run) -> None:
        self.log(run)
        run.tags(self.identity())


@dataclass(frozen=True)
class TrainingStage(Stage):
    """A stage that trains a model epoch by epoch, and resumes at its newest checkpoint if there is one."""

    inputs: Path  # folder of the data sets
    code: tuple[str, ...]  # modules and folders that the result depends on, as `package/module.py`
    libraries: tuple[str, ...]  # names of the distributions that the result depends on

    @contextmanager
    def training(self, state: State) -> Iterator["Training"]:
        """Start the run, or load the newest checkpoint into `state` and resume its run.

        A trial's checkpoints are kept. Those of the pipeline, in `checkpoints/` of the repository, are removed at the
        end.

        Raises:
            UserError: The folder of the data sets is missing, or the store can't be used.
        """
        if not self.inputs.is_dir():
            raise UserError(f"{self.inputs} is missing: run `dvc repro`")
        key, name = training_key(self.params, sha256_files(self.inputs), self.code, self.libraries), self.request.name
        folder = self.request.checkpoints or repository() / "checkpoints"
        with Checkpoints(folder / name.replace(" ", "-"), key) as checkpoints:
            stage = replace(self, request=self.request.resumed(checkpoints.run_id))
            with checkpoints.announced(name), stage.run() as run:
                yield Training(name, run, checkpoints, state)
            if self.request.checkpoints is None:
                checkpoints.remove()

    def _log_outputs(self, run: Run) -> None:
        log_data_sets(run, self.inputs, Path(find_project().inputs))
        super()._log_outputs(run)


class Training:
    """A running training: its run and its history, which is a list of each epoch's metrics."""

    def __init__(self, name: str, run: Run, checkpoints: Checkpoints, state: State) -> None:
        """Load the newest checkpoint, if any, into `state`, and log the epochs that the run lacks."""
        self._name, self._checkpoints, self._state = name, checkpoints, state
        self.run, self.history = run, checkpoints.load(state)
        for epoch, metrics in enumerate(self.history):  # a kill after a checkpoint leaves its epoch out of MLflow
            run.metrics(metrics, step=epoch)

    def epochs(self, count: int) -> range:
        """Return the numbers of the unfinished epochs of a training with `count` epochs."""
        return range(len(self.history), count)

    def add(self, metrics: dict[str, float]) -> None:
        """Add the metrics of the next epoch to the history, save a checkpoint, and log and print the metrics.

        Raises:
            UserError: The project's metric is missing.
        """
        epoch, metric = len(self.history), find_project().metric
        if metric not in metrics:
            raise UserError(f"epoch {epoch} has no {metric}, the project's metric; it has {', '.join(metrics)}")
        self.history.append(metrics)
        self._checkpoints.save(metrics, self._state, self.run.id)
        self.run.metrics(metrics, step=epoch)
        print(f"{self._name}  epoch {epoch}  {in_words(metric)} {metrics[metric]:.4f}", flush=True)


def log_data_sets(run: Run, folder: Path, known_as: Path | None = None) -> None:
    """Log each file of a folder as a data set.

    Args:
        run: Run to log into.
        folder: Folder with the files.
        known_as: Path of the folder relative to the repository, if it differs from `folder`.
    """
    for name, digest in sha256_files(folder).items():
        run.dataset(name, digest, known_as or folder, {}, Path(name).stem)


def log_history(run: Run, path: Path) -> int:
    """Log each epoch of a history's CSV file and the selected epoch; return the number of the selected epoch."""
    for epoch, metrics in enumerate(history.read(path)):
        run.metrics(metrics, step=epoch)
    metrics = history.selected(path)
    run.metrics(metrics, step=int(metrics[SELECTED + EPOCH]))
    return int(metrics[SELECTED + EPOCH])
