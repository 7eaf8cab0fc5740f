"""The trials of a sweep as their folders have them: for when MLflow can't say."""

import math
from pathlib import Path

from seqmnist import config
from seqmnist.errors import UserError
from seqmnist.paths import PARAMS, history_file
from seqmnist.settings import flatten
from seqmnist.sweep.folders import Result
from seqmnist.sweep.folders import Trial as Described
from seqmnist.tracking.sweeps import Trial
from seqmnist.training import history
from seqmnist.trainings import run_parameters


def unsent(sweep: Path) -> int:
    """How many trials have a result that MLflow does not have all of."""
    results = [Result.read(folder) for folder in _folders(sweep)]
    return sum(result is not None and not result.is_logged for result in results)


def trials(sweep: Path) -> list[Trial]:
    """The trials that have a result, by number; MLflow alone knows their runs and minutes."""
    found = [(folder, result) for folder in _folders(sweep) if (result := Result.read(folder))]
    return [_trial(folder, result) for folder, result in found]


def _folders(sweep: Path) -> list[Path]:
    folders = [path for path in sweep.iterdir() if path.is_dir() and path.name.isdigit()]
    return sorted(folders, key=lambda folder: int(folder.name))


def _trial(folder: Path, result: Result) -> Trial:
    try:
        configuration = config.load(folder / PARAMS)
        (cell,), (seed,) = configuration.cells, configuration.seeds
        parameters = flatten(run_parameters(configuration, cell, seed))
        is_finished = result.status == "FINISHED"
        metrics = history.summary(history.read(folder / history_file(cell))) if is_finished else {}
    except UserError:  # an impossible value is why it failed
        parameters, metrics = {}, {}
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
