"""A trained model in a folder: `model.json` says how to build it, `seed-<n>.weights.h5` holds its weights.

Both have the same bytes each time, unlike a .keras file, which carries a date. `seed-<n>.sha256` is one line, the
SHA-256 of the weights: HDF5 does not notice numbers that were changed.
"""

import hashlib
import io
import json
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from accord import settings
from accord.errors import UserError
from accord.files import atomic_path, sha256_file, write_json, write_text
from accord.project import mend
from seqmnist.cells.model import build
from seqmnist.config import Cell, Sequence

if TYPE_CHECKING:
    import keras

_DESCRIPTION = "model.json"


def weights_file(folder: Path, seed: int) -> Path:
    """Return the path of the weights trained with a seed."""
    return folder / f"seed-{seed}.weights.h5"


def digest_file(folder: Path, seed: int) -> Path:
    """Return the path of the file with the SHA-256 of these weights."""
    return folder / f"seed-{seed}.sha256"


def save(folder: Path, model: "keras.Model", cell: Cell, sequence: Sequence, seed: int) -> Path:
    """Write a model's weights and description; return the path of the weights.

    The former digest is removed first, and the new one is written last. So a half-written model has no digest, and is
    not loaded.

    Raises:
        OSError: A file can't be written.
    """
    digest_file(folder, seed).unlink(missing_ok=True)
    write_json(folder / _DESCRIPTION, {"cell": cell.model_dump(), "sequence": sequence.model_dump()})
    weights = _Memory()
    model.save_weights(weights)
    path = weights_file(folder, seed)
    with atomic_path(path) as temporary:
        temporary.write_bytes(weights.getbuffer())
    write_text(digest_file(folder, seed), hashlib.sha256(weights.getbuffer()).hexdigest() + "\n")
    return path


class _Memory(io.BytesIO):
    """A file in memory, with a name that Keras accepts. On a full disk HDF5 itself ends in a segmentation fault."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def describe(folder: Path) -> tuple[Cell, Sequence]:
    """Return the cell and the sequence view of a saved model.

    Raises:
        UserError: The description is missing or broken.
    """
    path = folder / _DESCRIPTION
    try:
        description = json.loads(path.read_text("utf-8"))
        return Cell.model_validate(description["cell"]), Sequence.model_validate(description["sequence"])
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro`") from None
    except ValidationError as error:
        raise UserError(f"{path}: {settings.describe(error)}; {mend()}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from None


def check(folder: Path, cell: Cell, sequence: Sequence) -> None:
    """Check that a saved model has the configured cell and sequence view.

    Raises:
        UserError: The model has others, or its description is missing or broken.
    """
    if describe(folder) != (cell, sequence):
        raise UserError(f"{folder} holds a model of another configuration than params.yaml: run `dvc repro` again")


def load(folder: Path, seed: int) -> "tuple[keras.Model, Cell]":
    """Build the model that `save` described, with the weights of a seed.

    Raises:
        UserError: A file is missing or broken, or the weights are not those that were saved.
    """
    cell, sequence = describe(folder)
    path = weights_file(folder, seed)
    try:
        if digest_file(folder, seed).read_bytes() != f"{sha256_file(path)}\n".encode():
            raise UserError(f"{path} is damaged, or {digest_file(folder, seed).name} is: {mend()}")
        model = build(cell, sequence, seed)
        with warnings.catch_warnings(action="ignore"):  # weights that do not fit raise an error below
            model.load_weights(path)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename or path} is missing: run `dvc repro`") from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise _unreadable(path, error) from None
    return model, cell


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} can't be read ({textwrap.shorten(str(error), 160)}): {mend()}")
