"""Trials of a sweep as their folders have them: for when MLflow can't say."""

import math
from pathlib import Path

from accord.metric_names import EPOCH, SELECTED
from accord.project import find_project
from accord.sweep.folders import Result
from accord.sweep.folders import Trial as Described
from accord.tracking.sweeps import Trial


def unsent(sweep: Path) -> int:
    """Count the trials with a result that MLflow does not have all of."""
    results = [Result.read(folder) for folder in _folders(sweep)]
    return sum(result is not None and not result.is_logged for result in results)


def trials(sweep: Path) -> list[Trial]:
    """Return the trials that have a result, by number; MLflow alone knows their runs, minutes and parameters."""
    found = []
    for folder in _folders(sweep):
        if (result := Result.read(folder)) is None:
            continue
        metrics = result.metrics
        if not metrics and result.accuracy is not None and result.epoch is not None:  # an earlier version wrote it
            metrics = {SELECTED + find_project().metric: result.accuracy, SELECTED + EPOCH: result.epoch}
        name = Described.read(folder).name
        found.append(Trial(int(folder.name), "", name, result.status, result.error, math.nan, "", {}, metrics))
    return found


def _folders(sweep: Path) -> list[Path]:
    folders = [path for path in sweep.iterdir() if path.is_dir() and path.name.isdigit()]
    return sorted(folders, key=lambda folder: int(folder.name))
