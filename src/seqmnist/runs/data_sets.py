"""The data sets of this project in MLflow: the raw files as one data set, and each split."""

from pathlib import Path
from typing import TYPE_CHECKING

from accord.files import sha256_json
from seqmnist.config import Data, SplitName
from seqmnist.data.splits import Summary
from seqmnist.paths import PROCESSED, RAW

if TYPE_CHECKING:
    from accord.tracking.runs import Run

CONTEXTS: dict[SplitName, str] = {"train": "training", "validation": "validation", "test": "testing"}


def data_sha256(data: Data) -> str:
    """Return one digest for the four raw files: that of their names and SHA-256."""
    return sha256_json(_digests(data))


def tags(data: Data) -> dict[str, str]:
    """Return the tag that finds the runs of a data set."""
    return {"data.sha256": data_sha256(data)}


def log_raw(run: "Run", data: Data) -> None:
    """Log the raw files as one data set."""
    run.dataset(data.name, data_sha256(data), RAW, _digests(data), "raw")


def log_splits(run: "Run", data: Data, summary: Summary) -> None:
    """Log each split of a summary as a data set."""
    for name, split in summary.items():
        run.dataset(f"{data.name}.{name}", split["sha256"], PROCESSED, dict(split), CONTEXTS[name])


def folder_of(name: str) -> Path:
    """Return the folder with the files of a data set that was logged under this name."""
    return PROCESSED if name.endswith(tuple(f".{split}" for split in CONTEXTS)) else RAW


def _digests(data: Data) -> dict[str, str]:
    return {file.name: file.sha256 for file in data.files.all()}
