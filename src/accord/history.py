"""The history of a training: the metrics of each epoch, as a CSV file that DVC draws and MLflow's runs are made of."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from accord.files import write_csv
from accord.metric_names import EPOCH, SELECTED
from accord.project import find_project

History = Sequence[Mapping[str, float]]  # metrics by name, by epoch


def write(path: Path, history: History) -> None:
    """Write a row for each epoch, with its number as the first column.

    Raises:
        ValueError: An epoch has other metrics than the first.
    """
    names = [*history[0]]
    for number, row in enumerate(history):
        if row.keys() != history[0].keys():
            raise ValueError(f"epoch {number} has the metrics {', '.join(row)}, epoch 0 {', '.join(names)}")
    write_csv(path, [[EPOCH, *names], *([number, *map(row.get, names)] for number, row in enumerate(history))])


def read(path: Path) -> History:
    """Read what `write` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(text) for name, text in row.items() if name != EPOCH} for row in csv.DictReader(file)]


def selected(path: Path) -> dict[str, float]:
    """Return the metrics, by their names in MLflow, of the epoch that a history selects, and its number.

    It is the epoch with the highest value of the project's metric, the first on ties; NaN is below all numbers.
    """
    history, metric = read(path), find_project().metric
    values = [-math.inf if math.isnan(row[metric]) else row[metric] for row in history]
    best = values.index(max(values))
    return {SELECTED + EPOCH: best} | {SELECTED + name: value for name, value in history[best].items()}
