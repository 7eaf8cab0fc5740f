"""Trials of a sweep as their folders have them: for when MLflow can't say."""

import math
from pathlib import Path

from seqmnist import projects
from seqmnist.errors import UserError
from seqmnist.metric_names import EPOCH, SELECTED
from seqmnist.paths import PARAMS
from seqmnist.settings import flatten, read_yaml
from seqmnist.sweep.folders import Result
from seqmnist.sweep.folders import Trial as Described
from seqmnist.tracking.sweeps import Trial


def unsent(sweep: Path) -> int:
    """Count the trials with a result that MLflow does not have all of."""
    results = [Result.read(folder) for folder in _folders(sweep)]
    return sum(result is not None and not result.is_logged for result in results)


def trials(sweep: Path) -> list[Trial]:
    """Return the trials that have a result, by number; MLflow alone knows their runs and minutes."""
    found = [(folder, result) for folder in _folders(sweep) if (result := Result.read(folder))]
    return [_trial(folder, result) for folder, result in found]


def _folders(sweep: Path) -> list[Path]:
    folders = [path for path in sweep.iterdir() if path.is_dir() and path.name.isdigit()]
    return sorted(folders, key=lambda folder: int(folder.name))


def _trial(folder: Path, result: Result) -> Trial:
    project = projects.find()
    try:
        parameters = flatten(project.call("parameters", read_yaml(folder / PARAMS)))
    except UserError:  # an impossible value is why it failed
        parameters = {}
    metrics = result.metrics
    if not metrics and result.accuracy is not None and result.epoch is not None:  # an earlier version wrote it
        metrics = {SELECTED + project.metric: result.accuracy, SELECTED + EPOCH: result.epoch}
    return Trial(
        number=int(folder.name),
        run_id="",
        name=Described.read(folder).name,
        status=result.status,
        error=result.error,
        minutes=math.nan,
        command="",
        parameters=parameters,
        metrics=metrics,
    )
