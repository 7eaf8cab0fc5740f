"""Files that are either whole or not there, and their digests."""

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
    """Give a temporary path beside `path`; rename it to `path` at the end, or remove it after an exception.

    Parent folders are created. A reader of `path` sees the old bytes or the new ones, never a part, also after the
    power was cut. The temporary name keeps the suffixes, since some writers choose the format by them.

    Raises:
        OSError: The file can't be written; `filename` is `path` where the error named no other file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix="".join(path.suffixes))
    os.close(handle)
    temporary = Path(name)
    try:
        with naming(path, name):
            yield temporary
            temporary.chmod(0o644)  # mkstemp makes it private; outputs are for everyone who may read the folder
            flush(temporary)  # else a rename may outlive a power cut that the bytes don't
            temporary.replace(path)
            flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path, temporary: str | None = None) -> Iterator[None]:
    """Give errors of the operating system that name no file, or the temporary one, the name of `path`."""
    try:
        yield
    except OSError as error:
        if error.filename in {None, temporary}:  # a write that fails names no file
            error.filename = str(path)
        raise


def flush(path: Path) -> None:
    """Flush a file, or a folder's list of names, to the disk, where it outlives a power cut."""
    with suppress(OSError) if path.is_dir() else nullcontext():  # some file systems know no such thing for folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def claim(path: Path) -> TextIO | None:
    """Return an open file that is locked until it is closed or this process ends; None where another process has it."""
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
    """Write `text` as UTF-8 with the line ends it has, atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with the keys in the order given, atomically."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows as CSV, floats in full, atomically."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in or below a folder, by its path there."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of a value's JSON text with sorted keys: equal values give equal digests."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()
