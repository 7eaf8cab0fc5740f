"""Atomic writes, file locks and SHA-256 digests."""

import csv
import fcntl
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, TextIO


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` at the end, or remove it after an exception.

    Parent folders are created. A reader of `path` sees either the old or the new bytes, even after a power cut. The
    temporary name keeps the suffixes of `path`, because some writers choose the format by them.

    Raises:
        OSError: The file can't be written. Its `filename` is `path` unless the error names another file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix="".join(path.suffixes))
    os.close(handle)
    temporary = Path(name)
    try:
        with naming(path, name):
            yield temporary
            temporary.chmod(0o644)  # mkstemp makes the file private; others must be able to read outputs
            flush(temporary)  # otherwise the rename may survive a power cut and the bytes may not
            temporary.replace(path)
            flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path, temporary: str | None = None) -> Iterator[None]:
    """Add the name of `path` to an `OSError` of the block that names no file, or names the temporary one."""
    try:
        yield
    except OSError as error:
        if error.filename in {None, temporary}:  # the error of a failed write names no file
            error.filename = str(path)
        raise


def flush(path: Path) -> None:
    """Flush a file's bytes or a folder's entries to the disk, so that they survive a power cut."""
    with suppress(OSError) if path.is_dir() else nullcontext():  # some file systems can't flush a folder
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def claim(path: Path) -> TextIO | None:
    """Lock a file, and create it if needed; return None if another process holds the lock.

    The lock is released when the returned file is closed or this process ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("w", encoding="utf-8")
    try:
        with naming(path):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with its line ends unchanged, atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with its keys in the given order, atomically."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows as CSV, floats with all their digits, atomically."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in or below a folder, by the file's path relative to the folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of a value's JSON text with sorted keys, so that equal values give equal digests."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()
