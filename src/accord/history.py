"""The history of a training: a CSV file with the metrics of each epoch, read by DVC's plots and logged to MLflow."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from accord.files import write_csv
from accord.metric_names import EPOCH, SELECTED
from accord.project import find_project

History = Sequence[Mapping[str, float]]  # one mapping per epoch, from a metric's name to its value


def write(path: Path, history: History) -> None:
    """Write a history as CSV, one row per epoch, with the epoch's number as the first column.

    Raises:
        ValueError: An epoch has different metrics from the first epoch.
    """
    names = [*history[0]]
    for number, row in enumerate(history):
        if row.keys() != history[0].keys():
            raise ValueError(f"epoch {number} has the metrics {', '.join(row)}, epoch 0 {', '.join(names)}")
    write_csv(path, [[EPOCH, *names], *([number, *map(row.get, names)] for number, row in enumerate(history))])


def read(path: Path) -> History:
    """Load a history that `write` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(text) for name, text in row.items() if name != EPOCH} for row in csv.DictReader(file)]


def selected(path: Path) -> dict[str, float]:
    """Return the number and metrics of a history's selected epoch, by their names in MLflow.

    The selected epoch has the highest value of the project's metric, the first one on ties. NaN counts as the lowest.

    Args:
        path: CSV file that `write` wrote.
    """
    history, metric = read(path), find_project().metric
    values = [-math.inf if math.isnan(row[metric]) else row[metric] for row in history]
    best = values.index(max(values))
    return {SELECTED + EPOCH: best} | {SELECTED + name: value for name, value in history[best].items()}
