"""history.csv, with the metrics of each seed and epoch, and the choice of the epoch."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from accord.errors import UserError
from accord.files import write_csv
from accord.metric_names import EPOCH
from accord.project import mend
from seqmnist.metric_names import TEST_ACCURACY, VALIDATION_ACCURACY

_TRAINING = ("train.loss", "train.accuracy", "train.last_batch_accuracy")
METRICS = (*_TRAINING, "val.loss", VALIDATION_ACCURACY, "test.loss", TEST_ACCURACY)
_COLUMNS = ("seed", "epoch", *METRICS)


@dataclass(frozen=True)
class Row:
    """One epoch of one seed's training."""

    seed: int
    epoch: int  # from 0
    metrics: dict[str, float]  # by the names in `METRICS`; losses in nats


def selected(rows: list[Row]) -> Row:
    """Return the epoch with the best validation accuracy, the earlier one on ties. Test figures play no part."""
    return max(rows, key=lambda row: (row.metrics[VALIDATION_ACCURACY], -row.epoch))


def summary(rows: list[Row]) -> dict[str, float]:
    """Return `selected.*` and `last.*` of one seed's rows: epoch, val.accuracy, test.accuracy, test.loss."""
    return figures("selected", selected(rows)) | figures("last", rows[-1])


def figures(name: str, row: Row) -> dict[str, float]:
    """Return an epoch's number, val.accuracy, test.accuracy and test.loss as `<name>.*`."""
    metrics = {metric: row.metrics[metric] for metric in (VALIDATION_ACCURACY, TEST_ACCURACY, "test.loss")}
    return {f"{name}.{key}": value for key, value in {EPOCH: row.epoch, **metrics}.items()}


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV, with all digits of a float, so that `read` returns the same values."""
    values = ([row.seed, row.epoch, *(row.metrics[name] for name in METRICS)] for row in rows)
    write_csv(path, [_COLUMNS, *values])


def read(path: Path) -> list[Row]:
    """Read the rows of a history.

    Raises:
        UserError: The file is missing, is no text, or has other columns or values that are no numbers.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro`") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text file: {mend()}") from None
    if not lines or tuple(lines[0]) != _COLUMNS:
        raise UserError(f"{path} is no history: its columns must be {', '.join(_COLUMNS)}; {mend()}")
    try:
        values = [{name: float(line[name]) for name in METRICS} for line in lines]
        return [Row(int(line["seed"]), int(line["epoch"]), one) for line, one in zip(lines, values, strict=True)]
    except (TypeError, ValueError):  # a value is no number, or is missing at the end of a line
        raise UserError(f"{path} is broken: {mend()}") from None


def by_seed(rows: list[Row]) -> dict[int, list[Row]]:
    """Group rows by seed, in the order in which the seeds appear."""
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.seed, []).append(row)
    return groups
