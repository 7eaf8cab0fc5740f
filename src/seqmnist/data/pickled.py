"""MNIST as a pickle of NumPy arrays, the form in which a wheel on the package index carries it.

The pickle holds three (images, labels) pairs: training, validation and test images in the original order,
images float32 [n, 784] with the value pixel / 256, labels int64 [n].
"""

import gzip
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from seqmnist.config import RawFile
from seqmnist.data.idx import idx_header
from seqmnist.data.splits import SIZE

_CHUNK_IMAGES = 5_000  # images converted at a time, to keep memory low


class PickleError(ValueError):
    """A pickle that is not three pairs of NumPy arrays in MNIST's shapes."""


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that finds nothing but what NumPy's arrays are made with."""

    _ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise PickleError(f"it names {module}.{name}, which is no NumPy array constructor")
        return self._ALLOWED[module, name]


def rebuild(path: Path, files: list[RawFile], folder: Path) -> dict[str, Path]:
    """Write the raw IDX files that a gzip-compressed pickle's arrays stand for.

    Args:
        path: Pickle whose SHA-256 was checked: a hostile one could ask for any amount of memory.
        files: Training images and labels, test images and labels; only their names are used.
        folder: Folder for the files.

    Returns:
        The path of each file by its name.

    Raises:
        PickleError: the pickle holds something else.
    """
    train, validation, test = _load(path)
    arrays: list[list[NDArray[Any]]] = [[train[0], validation[0]], [train[1], validation[1]], [test[0]], [test[1]]]
    paths = {}
    for file, parts in zip(files, arrays, strict=True):
        paths[file.name] = folder / file.name
        with paths[file.name].open("wb") as target:
            shape = (sum(map(len, parts)), SIZE, SIZE)[: 3 if parts[0].ndim == 2 else 1]
            target.write(idx_header(shape))
            for rows in _slices(parts):
                target.write(_raw(rows))
    return paths


def _raw(rows: NDArray[Any]) -> bytes:
    """Images float32 [n, 784] or labels int64 [n] as bytes of 0 to 255."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is no number, or too large, is refused
        values = np.rint(rows * 256) if rows.ndim == 2 else rows
        if not ((values >= 0) & (values <= 255)).all():
            raise PickleError("it has pixels or labels outside 0 to 255")
    return values.astype(np.uint8).tobytes()


def _slices(parts: list[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    for part in parts:
        for start in range(0, len(part), _CHUNK_IMAGES):
            yield part[start : start + _CHUNK_IMAGES]


def _load(path: Path) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    try:
        with gzip.open(path) as file:
            pairs = _ArrayUnpickler(file, encoding="latin1").load()
    except PickleError:
        raise
    except Exception as error:  # whatever a broken pickle makes the unpickler or NumPy raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PickleError(f"it can't be read: {reason}") from None
    if not (isinstance(pairs, tuple) and len(pairs) == 3 and all(map(_is_pair, pairs))):
        raise PickleError("it does not hold three pairs of images float32 [n, 784] and labels int64 [n]")
    return list(pairs)


def _is_pair(pair: Any) -> bool:
    if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(part, np.ndarray) for part in pair)):
        return False
    images, labels = pair
    return bool(
        images.dtype == np.float32
        and labels.dtype == np.int64
        and labels.ndim == 1
        and images.shape == (len(labels), SIZE * SIZE)
    )
