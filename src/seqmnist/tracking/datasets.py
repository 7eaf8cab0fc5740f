"""Data sets as MLflow keeps them: a name, the digest of the content, and the folder with the files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset

_MAX_HEX_DIGITS = 32  # of a digest, for which MLflow's column has room


def described(name: str, sha256: str, folder: Path, profile: Mapping[str, Any]) -> Dataset:
    """Return a data set for `log_inputs`.

    Args:
        name: The data set's name.
        sha256: The SHA-256 of its content.
        folder: The folder with its files, relative to the repository.
        profile: Further facts.
    """
    return Dataset(name, sha256[:_MAX_HEX_DIGITS], *source(folder, sha256), profile=json.dumps(profile))


def source(folder: Path, sha256: str) -> tuple[str, str]:
    """Return type and JSON of a source that `mlflow.data.get_source` reads.

    Its path is relative to the repository: it holds in every clone, and after a move.
    """
    return "local", json.dumps({"uri": folder.as_posix(), "sha256": sha256})
