"""MNIST as a pickle of NumPy arrays, the form in which a wheel on the package index carries it.

The pickle holds three (images, labels) pairs: training, validation and test images in the original order,
images float32 [n, 784] with the value pixel / 256, labels int64 [n].
"""

import gzip
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqmnist.config import RawFile
from seqmnist.data.idx import idx_header
from seqmnist.data.splits import SIZE

_LARGEST = 1 << 28  # bytes decompressed at the most; MNIST's pickle has 220,080,342
_ROWS = 5_000  # images converted at a time, to keep memory low


class PickleError(ValueError):
    """A pickle that is not three pairs of NumPy arrays in MNIST's shapes."""


class _BoundedReader:
    """The part of a file that the unpickler uses, ending in an error where a bomb would go on."""

    def __init__(self, file: gzip.GzipFile, limit: int) -> None:
        self._file, self._left = file, limit

    def read(self, size: int) -> bytes:
        return self._count(self._file.read(min(size, self._left + 1)))

    def readline(self) -> bytes:
        return self._count(self._file.readline(self._left + 1))

    def _count(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            raise PickleError(f"it decompresses to more than {_LARGEST} bytes")
        return content


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that can build NumPy arrays and call nothing else."""

    _ALLOWED = frozenset({("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise PickleError(f"it names {module}.{name}, which is no NumPy array constructor")
        if name == "_reconstruct":
            return np.empty(0).__reduce__()[0]  # NumPy 2 keeps it elsewhere than older pickles say
        return getattr(np, name)


def rebuild(path: Path, files: list[RawFile], folder: Path) -> dict[str, Path]:
    """Write the raw IDX files that a gzip-compressed pickle's arrays stand for; check its hash before.

    Args:
        path: the pickle.
        files: training images and labels, test images and labels; only their names are used.
        folder: where the files are written.

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
                target.write((np.rint(rows * 256) if rows.ndim == 2 else rows).astype(np.uint8).tobytes())
    return paths


def _slices(parts: list[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    for part in parts:
        for start in range(0, len(part), _ROWS):
            yield part[start : start + _ROWS]


def _load(path: Path) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    try:
        with gzip.open(path) as file:
            pairs = _ArrayUnpickler(_BoundedReader(file, _LARGEST), encoding="latin1").load()
    except PickleError:
        raise
    except Exception as error:  # whatever a broken pickle makes the unpickler or NumPy raise
        raise PickleError(f"it can't be read: {error}") from None
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
