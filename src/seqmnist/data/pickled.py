"""MNIST as a pickle of NumPy arrays, the form in which a wheel on the package index carries it.

The pickle holds three (images, labels) pairs: training, validation and test images in the original order,
images float32 [n, 784] with the value pixel / 256, labels int64 [n].
"""

import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accord.errors import one_line
from seqmnist.config import RawFile
from seqmnist.data.idx import idx_header
from seqmnist.data.raw import SourceError
from seqmnist.data.splits import SIZE

_CONSTRUCTORS = {  # what NumPy's arrays are made with
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):  # noqa: S301  (it makes nothing but arrays)
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _CONSTRUCTORS:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no NumPy array constructor")
        return _CONSTRUCTORS[module, name]


def rebuild(path: Path, files: list[RawFile], folder: Path) -> None:
    """Write the raw IDX files that a gzip-compressed pickle's arrays stand for.

    Args:
        path: Pickle whose SHA-256 was checked: a hostile one could ask for any amount of memory.
        files: Training images and labels, test images and labels; only their names are used.
        folder: Folder for the files, whose own SHA-256 says whether the arrays are the right ones.

    Raises:
        SourceError: The pickle holds something else.
    """
    try:
        with gzip.open(path) as source:
            pairs = _ArrayUnpickler(source, encoding="latin1").load()
        train, validation, test = (_to_uint8(images, labels) for images, labels in pairs)
        arrays = [*map(np.concatenate, zip(train, validation, strict=True)), *test]
    except Exception as error:  # whatever a broken pickle makes the unpickler or NumPy raise
        raise SourceError(f"it can't be read: {one_line(error)}") from None
    for file, array in zip(files, arrays, strict=True):
        (folder / file.name).write_bytes(idx_header(array.shape) + array.tobytes())


def _to_uint8(images: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Convert images [n, 784] and labels [n] to uint8 [n, 28, 28] and uint8 [n]."""
    pixels = np.empty(images.shape, np.uint8)  # [n, 784]
    np.multiply(images, 256, out=pixels, casting="unsafe")  # exact, and without a copy of all floats
    return pixels.reshape(-1, SIZE, SIZE), labels.astype(np.uint8)  # [n, 28, 28], [n]
