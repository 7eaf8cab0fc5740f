"""Synchronization of folders between machines: whole files, named by relative path, and only those that changed."""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from accord.files import atomic_path, sha256_json

Files = dict[str, bytes]  # content, by relative path
Stamps = dict[str, tuple[int, int]]  # time of the last change in nanoseconds and size in bytes, by file

HYDRA = ".hydra"  # folder that Hydra writes again wherever a trial runs
_LAST = "result.json"  # written last: it shows that the other files are complete


class Change(NamedTuple):
    """Difference between a folder and its copy: new and changed files, and the names of removed files."""

    files: Files
    gone: list[str]


def stamps(folder: Path) -> Stamps:
    """Return the stamps of the files below a folder.

    Paths with a part that begins with a dot are left out, such as files that are being written. `.hydra` is kept.
    """
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") and part != HYDRA for part in name.parts):
            with suppress(FileNotFoundError):  # another process renamed or removed it
                status = path.stat()
                found[name.as_posix()] = (status.st_mtime_ns, status.st_size)
    return found


def pack(folder: Path, names: Iterable[str]) -> Files:
    """Return the content of the named files of a folder; leave out files that are gone."""
    files = {}
    for name in names:
        with suppress(FileNotFoundError):
            files[name] = (folder / name).read_bytes()
    return files


def changed(folder: Path, before: Stamps, now: Stamps) -> Change:
    """Return the change of a folder between two calls of `stamps`."""
    files = pack(folder, (name for name, stamp in now.items() if before.get(name) != stamp))
    return Change(files, [name for name in before if name not in now])


def unpack(folder: Path, change: Change) -> None:
    """Apply a change to a folder; write result.json last, since it shows that the other files are complete.

    Raises:
        ValueError: A name leads out of the folder.
    """
    for name in sorted(change.files, key=lambda name: name == _LAST):
        with atomic_path(_inside(folder, name)) as temporary:
            temporary.write_bytes(change.files[name])
    for name in change.gone:
        path = _inside(folder, name)
        path.unlink(missing_ok=True)
        with suppress(OSError):  # the folder has other files
            path.parent.rmdir()


def digest(files: Mapping[str, bytes]) -> str:
    """Return one SHA-256 of the names and contents of files."""
    return sha256_json({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} leads out of {folder}")
    return path
