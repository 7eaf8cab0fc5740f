"""The folder of raw files. A file gets its final name only when its bytes are verified."""

import gzip
import hashlib
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from accord.files import atomic_path, sha256_file
from seqmnist.config import RawFile
from seqmnist.data.idx import idx_header

GZIP_MAGIC = b"\x1f\x8b"
NPY_MAGIC = b"\x93NUMPY"


class SourceError(Exception):
    """A source can't provide a file. The message is the reason."""


class WrongBytesError(SourceError):
    """A source provided a file with other bytes than the configured ones."""


def missing(folder: Path, files: list[RawFile]) -> list[RawFile]:
    """Return the configured files that the folder lacks or holds with wrong bytes."""
    return [file for file in files if not is_verified(folder / file.name, file)]


def is_verified(path: Path, file: RawFile) -> bool:
    """Return whether `path` holds exactly the configured bytes."""
    return path.is_file() and path.stat().st_size == file.bytes and sha256_file(path) == file.sha256


def deliver(candidate: Path | zipfile.Path, file: RawFile, folder: Path) -> None:
    """Copy a candidate into the folder under its final name if it is the right file.

    It reads at most one byte more than the configured size, so a hostile candidate can't fill the memory.

    Args:
        candidate: File or member of a zip archive: an IDX file, plain or gzip-compressed, or an .npy file.
        file: Configured file that it may be.
        folder: Folder of raw files.

    Raises:
        WrongBytesError: The raw bytes are too short, too long, can't be decompressed, or have another SHA-256.
    """
    content = _read_plain(candidate, file.bytes + 1)
    if len(content) != file.bytes:
        size = f"more than {file.bytes}" if len(content) > file.bytes else len(content)
        raise WrongBytesError(f"{candidate.name}: it has {size} bytes, expected {file.bytes}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise WrongBytesError(f"{candidate.name}: SHA-256 is {digest}, expected {file.sha256}")
    with atomic_path(folder / file.name) as temporary:
        temporary.write_bytes(content)


def remove_others(folder: Path, files: list[RawFile]) -> list[str]:
    """Remove files of other data sets or of killed processes, and return their names."""
    kept = {file.name for file in files}
    others = sorted(path for path in folder.iterdir() if path.name not in kept and path.is_file())
    for path in others:
        path.unlink()
    return [path.name for path in others]


def _read_plain(candidate: Path | zipfile.Path, size: int) -> bytes:
    """Read at most `size` raw bytes of a candidate. The first bytes decide the format, not the name."""
    try:
        with candidate.open("rb") as file:
            start = file.read(len(NPY_MAGIC))
            file.seek(0)
            if start.startswith(GZIP_MAGIC):
                with gzip.GzipFile(fileobj=file) as plain:
                    return plain.read(size)
            header = _idx_header_of_npy(file) if start == NPY_MAGIC else b""
            return (header + file.read(size))[:size]
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise WrongBytesError(f"{candidate.name}: broken gzip stream: {error}") from None
    except (zipfile.BadZipFile, lzma.LZMAError, OverflowError, RuntimeError, ValueError) as error:
        raise WrongBytesError(f"{candidate.name}: it can't be read: {' '.join(str(error).split())}") from None


def _idx_header_of_npy(file: IO[bytes]) -> bytes:
    """Read the header of an .npy file, and return that of an IDX file with the same values. Only uint8 is accepted."""
    try:
        np.lib.format.read_magic(file)
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # a broken header makes Python's parser raise many types
        raise ValueError(f"it has no header of an .npy file: {error}") from None
    if dtype != np.uint8 or is_fortran:
        raise ValueError(f"it holds {dtype}, expected uint8 row by row")
    return idx_header(shape)
