"""The folder of raw files: only verified bytes ever stand there under a final name."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from seqmnist.config import RawFile
from seqmnist.files import atomic_path, sha256_file

_CHUNK = 1 << 20


class WrongBytesError(Exception):
    """A file that a source gave is not the configured one."""


def missing(folder: Path, files: list[RawFile]) -> list[RawFile]:
    """The files that are not in the folder with the configured bytes."""
    return [file for file in files if not is_verified(folder / file.name, file)]


def is_verified(path: Path, file: RawFile) -> bool:
    """Whether `path` holds exactly the configured bytes."""
    return path.is_file() and path.stat().st_size == file.bytes and sha256_file(path) == file.sha256


def deliver(candidate: Path, file: RawFile, folder: Path) -> None:
    """Copy a candidate, plain or gzip-compressed, into the folder under its final name if it is the right file.

    At most one byte more than the configured size is decompressed, whatever the candidate is.

    Raises:
        WrongBytesError: the raw bytes are too short, too long, no gzip stream, or have another SHA-256.
    """
    digest = hashlib.sha256()
    with atomic_path(folder / file.name) as temporary, _open_plain(candidate) as source, temporary.open("wb") as target:
        try:
            while chunk := source.read(min(_CHUNK, file.bytes + 1 - target.tell())):
                target.write(chunk)
                digest.update(chunk)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise WrongBytesError(f"{candidate.name}: broken gzip stream: {error}") from None
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
def _open_plain(path: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    """Open a file for reading, decompressing it if it starts as gzip does, whatever its name."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not is_gzip:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as plain:
            yield plain
