"""Data sets as MLflow keeps them: a name, the digest of the content, and the folder with the files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset

from seqmnist.config import SplitName

CONTEXTS: dict[SplitName, str] = {"train": "training", "validation": "validation", "test": "testing"}
_DIGEST = 32  # hexadecimal digits that MLflow's column has room for


def described(name: str, sha256: str, folder: Path, profile: Mapping[str, Any]) -> Dataset:
    """Return a data set for `log_inputs`.

    Args:
        name: The data set's name, with that of the split if it is one.
        sha256: The SHA-256 of its content.
        folder: The folder with its files, relative to the repository.
        profile: Further facts.
    """
    return Dataset(name, sha256[:_DIGEST], *source(folder, sha256), profile=json.dumps(profile))


def source(folder: Path, sha256: str) -> tuple[str, str]:
    """Return type and JSON of a source that `mlflow.data.get_source` reads.

    Its path is relative to the repository: it holds in every clone, and after a move.
    """
    return "local", json.dumps({"uri": folder.as_posix(), "sha256": sha256})
