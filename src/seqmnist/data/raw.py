"""The folder of raw files: only verified bytes ever stand there under a final name."""

import gzip
import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from seqmnist.config import RawFile
from seqmnist.data.idx import idx_header
from seqmnist.files import atomic_path, sha256_file

GZIP_MAGIC = b"\x1f\x8b"
NPY_MAGIC = b"\x93NUMPY"
_CHUNK_BYTES = 1 << 20


class SourceError(Exception):
    """A source can't give a file; the message is the reason."""


class WrongBytesError(SourceError):
    """A file that a source gave is not the configured one."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def missing(folder: Path, files: list[RawFile]) -> list[RawFile]:
    """The files that are not in the folder with the configured bytes."""
    return [file for file in files if not is_verified(folder / file.name, file)]


def is_verified(path: Path, file: RawFile) -> bool:
    """Whether `path` holds exactly the configured bytes."""
    return path.is_file() and path.stat().st_size == file.bytes and sha256_file(path) == file.sha256


def deliver(candidate: Path | zipfile.Path, file: RawFile, folder: Path) -> None:
    """Copy a candidate into the folder under its final name if it is the right file.

    At most one byte more than the configured size is read, whatever the candidate is.

    Args:
        candidate: File or member of a zip archive: an IDX file, plain or gzip-compressed, or an .npy file.
        file: Configured file that it may be.
        folder: Folder of raw files.

    Raises:
        WrongBytesError: the raw bytes are too short, too long, can't be decompressed, or have another SHA-256.
    """
    digest = hashlib.sha256()
    with _open_plain(candidate) as source, atomic_path(folder / file.name) as temporary, temporary.open("wb") as target:
        while chunk := source.read(min(_CHUNK_BYTES, file.bytes + 1 - target.tell())):
            target.write(chunk)
            digest.update(chunk)
        if target.tell() != file.bytes:
            size = f"more than {file.bytes}" if target.tell() > file.bytes else target.tell()
            raise WrongBytesError(f"{candidate.name}: it has {size} bytes, expected {file.bytes}")
        if digest.hexdigest() != file.sha256:
            raise WrongBytesError(f"{candidate.name}: SHA-256 is {digest.hexdigest()}, expected {file.sha256}")


def remove_others(folder: Path, files: list[RawFile]) -> list[str]:
    """Remove what does not belong to the data set (another one's files, what a kill left); return the names."""
    kept = {file.name for file in files}
    others = sorted(path for path in folder.iterdir() if path.name not in kept and path.is_file())
    for path in others:
        path.unlink()
    return [path.name for path in others]


@contextmanager
def _open_plain(candidate: Path | zipfile.Path) -> Iterator[_Readable]:
    """Open a candidate for reading its raw bytes; its first bytes say whether it is compressed, not its name."""
    try:
        with candidate.open("rb") as file:
            start = file.read(len(NPY_MAGIC))
            file.seek(0)
            if start.startswith(GZIP_MAGIC):
                with gzip.GzipFile(fileobj=file) as plain:
                    yield plain
            else:
                yield _IdxOfNpy(file) if start == NPY_MAGIC else file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise WrongBytesError(f"{candidate.name}: broken gzip stream: {error}") from None
    except (zipfile.BadZipFile, lzma.LZMAError, OverflowError, RuntimeError, ValueError) as error:
        raise WrongBytesError(f"{candidate.name}: it can't be read: {' '.join(str(error).split())}") from None


class _IdxOfNpy:
    """The IDX file of an .npy file, made while it is read; an array of objects, which would be a pickle, never is."""

    def __init__(self, file: IO[bytes]) -> None:
        try:
            np.lib.format.read_magic(file)
            shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
        except Exception as error:  # whatever a broken header makes Python's parser raise
            raise ValueError(f"it has no header of an .npy file: {error}") from None
        if dtype != np.uint8 or is_fortran:
            raise ValueError(f"it holds {dtype}, expected uint8 row by row")
        self._header, self._values = io.BytesIO(idx_header(shape)), file

    def read(self, size: int, /) -> bytes:
        return self._header.read(size) or self._values.read(size)
