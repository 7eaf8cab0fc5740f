"""The history of a training: the metrics of each epoch, as a CSV file that DVC draws and MLflow's runs are made of."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from accord.files import write_csv
from accord.metric_names import EPOCH, SELECTED
from accord.project import find_project

History = Sequence[Mapping[str, float]]  # metrics by name, by epoch


def write(path: Path, history: History) -> None:
    """Write a row for each epoch, with its number as the first column."""
    write_csv(path, [[EPOCH, *history[0]], *([number, *row.values()] for number, row in enumerate(history))])


def read(path: Path) -> History:
    """Read what `write` wrote."""
    with path.open(newline="") as file:
        return [{name: float(text) for name, text in row.items() if name != EPOCH} for row in csv.DictReader(file)]


def selected(path: Path) -> dict[str, float]:
    """Return the metrics, by their names in MLflow, of the epoch that a history selects, and its number.

    It is the epoch with the highest value of the project's metric, the first on ties.
    """
    history, metric = read(path), find_project().metric
    best = max(range(len(history)), key=lambda number: history[number][metric])
    return {SELECTED + EPOCH: best} | {SELECTED + name: value for name, value in history[best].items()}
