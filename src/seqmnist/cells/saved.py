"""A trained model in a folder: `model.json` says how to build it, `seed-<n>.weights.h5` holds its weights.

Unlike a .keras file, which carries a date, both have the same bytes each time.
"""

import json
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from seqmnist import config
from seqmnist.cells.model import build
from seqmnist.config import Cell, Sequence
from seqmnist.errors import UserError
from seqmnist.files import atomic_path, write_json

if TYPE_CHECKING:
    import keras

_DESCRIPTION = "model.json"


def weights_file(folder: Path, seed: int) -> Path:
    """Where the weights trained with a seed are."""
    return folder / f"seed-{seed}.weights.h5"


def save(folder: Path, model: "keras.Model", cell: Cell, sequence: Sequence, seed: int) -> Path:
    """Write a model's weights and description; return the path of the weights."""
    write_json(folder / _DESCRIPTION, {"cell": cell.model_dump(), "sequence": sequence.model_dump()})
    path = weights_file(folder, seed)
    with atomic_path(path) as temporary:
        model.save_weights(temporary, overwrite=True)
    return path


def describe(folder: Path) -> tuple[Cell, Sequence]:
    """The cell and the sequence view that a saved model is of.

    Raises:
        UserError: the description is missing or broken.
    """
    path = folder / _DESCRIPTION
    try:
        description = json.loads(path.read_text())
        return Cell.model_validate(description["cell"]), Sequence.model_validate(description["sequence"])
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro`") from None
    except ValidationError as error:
        raise UserError(f"{path}: {config.describe(error)}; run `dvc repro`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from None


def load(folder: Path, seed: int) -> "tuple[keras.Model, Cell]":
    """Build the model that `save` described, with the weights of a seed.

    Raises:
        UserError: a file is missing or broken.
    """
    cell, sequence = describe(folder)
    model = build(cell, sequence, seed)
    path = weights_file(folder, seed)
    try:
        with warnings.catch_warnings(action="ignore"):  # weights that do not fit are an error below
            model.load_weights(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro`") from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise _unreadable(path, error) from None
    return model, cell


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} can't be read ({textwrap.shorten(str(error), 160)}): run `dvc repro`")
