"""The three splits that training and evaluation read, made from the four raw files."""

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from accord.errors import UserError
from accord.files import atomic_path
from accord.project import mend
from seqmnist.config import Data, RawFile, SplitName
from seqmnist.data.idx import IdxError, parse_idx

CLASSES = 10
SIZE = 28  # rows and columns of an image
SUMMARY = "splits.json"
NAMES: tuple[SplitName, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Images uint8 [n, 28, 28] and labels uint8 [n], each label 0 to 9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)

    def digest(self) -> str:
        """Return the SHA-256 of the images' bytes followed by the labels' bytes."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()

    def class_counts(self) -> list[int]:
        """Count the images of each of the ten classes."""
        return [int(count) for count in np.bincount(self.labels, minlength=CLASSES)]


class SplitSummary(TypedDict):
    """A split's part of splits.json."""

    images: int  # number of images
    sha256: str  # digest of images and labels
    classes: list[int]  # number of images of each class, 0 to 9


Summary = dict[SplitName, SplitSummary]


def read_raw(folder: Path, data: Data) -> dict[SplitName, Split]:
    """Read, check and split the raw files.

    The first `data.validation` training images are the validation split, as in the notebook.

    Raises:
        UserError: A file is missing, is not the configured one, or has other contents than a data set needs.
    """
    files = data.files
    train = _read_pair(folder, files.train_images, files.train_labels, data.counts.train)
    test = _read_pair(folder, files.test_images, files.test_labels, data.counts.test)
    cut = data.validation
    return {
        "train": Split(train.images[cut:], train.labels[cut:]),
        "validation": Split(train.images[:cut], train.labels[:cut]),
        "test": test,
    }


def _read_pair(folder: Path, images_file: RawFile, labels_file: RawFile, count: int) -> Split:
    images = _read_file(folder / images_file.name, images_file, dimensions=3)
    labels = _read_file(folder / labels_file.name, labels_file, dimensions=1)
    if images.shape != (count, SIZE, SIZE):
        raise UserError(f"{images_file.name}: its shape is {images.shape}, configured is {(count, SIZE, SIZE)}")
    if labels.shape != (count,):
        raise UserError(f"{labels_file.name}: it has {len(labels)} labels, configured are {count}")
    if labels.max() >= CLASSES:
        raise UserError(f"{labels_file.name}: label {labels.max()} is impossible: labels are 0 to {CLASSES - 1}")
    return Split(images, labels)


def _read_file(path: Path, expected: RawFile, dimensions: int) -> NDArray[np.uint8]:
    try:
        if (size := path.stat().st_size) != expected.bytes:  # before all of it is read
            raise UserError(f"{path}: it has {size} bytes, expected {expected.bytes}; `dvc repro` fetches it again")
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro`, which downloads it") from None
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected.sha256:
        raise UserError(f"{path}: SHA-256 is {actual}, expected {expected.sha256}; `dvc repro` fetches it again")
    try:
        return parse_idx(content, dimensions)
    except IdxError as error:
        raise UserError(f"{path} is no IDX file: {error}") from None


def save(folder: Path, splits: dict[SplitName, Split]) -> None:
    """Write each split as `<name>.images.npy` and `<name>.labels.npy`."""
    for name, split in splits.items():
        for part, array in [("images", split.images), ("labels", split.labels)]:
            content = io.BytesIO()  # where NumPy itself writes a file, its error hides the cause, such as a full disk
            np.save(content, np.ascontiguousarray(array), allow_pickle=False)
            with atomic_path(folder / f"{name}.{part}.npy") as temporary:
                temporary.write_bytes(content.getbuffer())


def load(folder: Path, name: SplitName) -> Split:
    """Read one split that `save` wrote.

    Raises:
        UserError: A file is missing or broken.
    """
    with _file_errors(f"{folder}: the {name} split"):
        images, labels = (_load_array(folder / f"{name}.{part}.npy") for part in ("images", "labels"))
    is_right = images.dtype == labels.dtype == np.uint8 and images.shape == (*labels.shape, SIZE, SIZE)
    if not (is_right and labels.ndim == 1):
        raise UserError(f"{folder}: the {name} split has another shape or type than it was saved with: {mend()}")
    return Split(images, labels)


def load_all(folder: Path) -> tuple[dict[SplitName, Split], Summary]:
    """Read the three splits that `save` wrote, and check them against splits.json; return them and their summary.

    Raises:
        UserError: A file is missing or broken, or a split is not the one that was saved.
    """
    loaded = {name: load(folder, name) for name in NAMES}
    computed = summary(loaded)
    with _file_errors(str(folder / SUMMARY)):
        saved = dict(json.loads((folder / SUMMARY).read_bytes()))
    for name, found in computed.items():
        if found != saved.get(name):
            raise UserError(f"{folder}: the {name} split is not the one that {SUMMARY} has the SHA-256 of: {mend()}")
    return loaded, computed


@contextmanager
def _file_errors(name: str) -> Iterator[None]:
    """Turn the errors of a missing file, or of NumPy or JSON on broken bytes, into a `UserError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: run `dvc repro`") from None
    except Exception as error:
        raise UserError(f"{name} can't be read ({error}): {mend()}") from None


def _load_array(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:  # np.load would also take an archive of arrays
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def summary(splits: dict[SplitName, Split]) -> Summary:
    """Return the number of images, the SHA-256 and the images of each class, by split."""
    return {
        name: {"images": len(split), "sha256": split.digest(), "classes": split.class_counts()}
        for name, split in splits.items()
    }
