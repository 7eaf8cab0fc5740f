"""MNIST as a pickle of NumPy arrays, the form in which a wheel on the package index carries it.

The pickle holds three (images, labels) pairs: training, validation and test images in the original order,
images float32 [n, 784] with the value pixel / 256, labels int64 [n].
"""

import gzip
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from seqmnist.config import RawFile
from seqmnist.data.idx import idx_header
from seqmnist.data.splits import SIZE

LARGEST = 1 << 28  # bytes decompressed at the most; MNIST's pickle has 220,080,342
_MOST_READS = 10_000  # one for each operation and each argument; MNIST's pickle takes 252
_ROWS = 5_000  # images converted at a time, to keep memory low
_NUMBER = re.compile("[fiu][1248]")


class PickleError(ValueError):
    """A pickle that is not three pairs of NumPy arrays in MNIST's shapes."""


class _BoundedReader:
    """The part of a file that the unpickler uses, ending in an error where a bomb would go on."""

    def __init__(self, file: gzip.GzipFile, limit: int) -> None:
        self._file, self._left, self._reads = file, limit, 0

    def read(self, size: int) -> bytes:
        return self._count(self._file.read(min(size, self._left + 1)))

    def readline(self) -> bytes:
        return self._count(self._file.readline(self._left + 1))

    def _count(self, content: bytes) -> bytes:
        self._left -= len(content)
        self._reads += 1
        if self._left < 0:
            raise PickleError(f"it decompresses to more than {LARGEST} bytes")
        if self._reads > _MOST_READS:
            raise PickleError(f"it has more than {_MOST_READS} operations and arguments, which arrays don't need")
        return content


class _Type:
    """What stands for a NumPy type while unpickling."""

    def __init__(self, name: str, *_: object) -> None:
        if not _NUMBER.fullmatch(name):
            raise PickleError(f"it has values of the type {name!r}, which are no numbers")
        self.name = name

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.name = f"{state[1].replace('|', '=')}{self.name}"  # the order of bytes


class _Array:
    """What stands for a NumPy array while unpickling, so that nothing of NumPy's is called with what the file says."""

    values: NDArray[Any] | None = None

    def __init__(self, *_: object) -> None:
        """The arguments are always the same: an empty array, filled by `__setstate__`."""

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Type, bool, bytes | str]) -> None:
        _, shape, type_, is_fortran, content = state
        if is_fortran:
            raise PickleError("its arrays are stored column by column")
        values = np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, type_.name)
        self.values = values.reshape(shape)


class _ArrayUnpickler(pickle._Unpickler):  # noqa: SLF001  (C's makes a table as long as the largest index in the file)
    """An unpickler of numbers, texts, tuples, lists and NumPy arrays, which calls nothing else."""

    _ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): "ndarray",  # only handed to _reconstruct
        ("numpy", "dtype"): _Type,
    }
    # No dictionaries and sets: to hash a tuple of tuples can take for ever.
    # fmt: off
    _NEEDED = b"".join((
        pickle.PROTO, pickle.STOP, pickle.MARK, pickle.POP, pickle.POP_MARK, pickle.GLOBAL, pickle.STACK_GLOBAL,
        pickle.REDUCE, pickle.BUILD, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.INT, pickle.LONG,
        pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.FLOAT, pickle.BINFLOAT,
        pickle.STRING, pickle.BINSTRING, pickle.SHORT_BINSTRING, pickle.UNICODE, pickle.BINUNICODE,
        pickle.SHORT_BINUNICODE, pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8,
        pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3,
        pickle.EMPTY_LIST, pickle.LIST, pickle.APPEND, pickle.APPENDS,
        pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE, pickle.GET, pickle.BINGET, pickle.LONG_BINGET,
    ))
    # fmt: on

    def __init__(self, file: _BoundedReader) -> None:
        super().__init__(file, encoding="latin1")
        self._file = file

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise PickleError(f"it names {module}.{name}, which is no NumPy array constructor")
        return self._ALLOWED[module, name]

    def _ignore_frame(self) -> None:
        self._file.read(8)  # a hint to read ahead, which would not be counted

    def _refuse(self) -> None:
        raise PickleError("it can't be read: it has an operation that arrays don't need")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **dict.fromkeys(range(256), _refuse),
        **{code: pickle._Unpickler.dispatch[code] for code in _NEEDED},  # noqa: SLF001
        pickle.FRAME[0]: _ignore_frame,
    }


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
        for start in range(0, len(part), _ROWS):
            yield part[start : start + _ROWS]


def _load(path: Path) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    try:
        with gzip.open(path) as file:
            pairs = _ArrayUnpickler(_BoundedReader(file, LARGEST)).load()
    except PickleError:
        raise
    except Exception as error:  # whatever a broken pickle makes the unpickler or NumPy raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PickleError(f"it can't be read: {reason}") from None
    if not (isinstance(pairs, tuple) and len(pairs) == 3 and all(map(_is_pair, pairs))):
        raise PickleError("it does not hold three pairs of images float32 [n, 784] and labels int64 [n]")
    return [(images.values, labels.values) for images, labels in pairs]


def _is_pair(pair: Any) -> bool:
    if not (isinstance(pair, tuple) and len(pair) == 2):
        return False
    images, labels = (part.values if isinstance(part, _Array) else None for part in pair)
    return bool(
        images is not None
        and labels is not None
        and images.dtype == np.float32
        and labels.dtype == np.int64
        and labels.ndim == 1
        and images.shape == (len(labels), SIZE * SIZE)
    )
