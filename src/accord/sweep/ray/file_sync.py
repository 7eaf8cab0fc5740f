"""Files sent between machines: named by their path in a folder, whole, and only those that changed."""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from accord.files import atomic_path, sha256_json

Files = dict[str, bytes]
Stamps = dict[str, tuple[int, int]]  # when each file was written, and its size

HYDRA = ".hydra"  # folder of the files that Hydra writes anew where a trial runs
_LAST = "result.json"  # says that the others are there


class Change(NamedTuple):
    """Difference between a folder and its copy: files that are new or changed, and names of those that are gone."""

    files: Files
    gone: list[str]


def stamps(folder: Path) -> Stamps:
    """Return the files below a folder, without those being written, which have a dot before a part of their path."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") and part != HYDRA for part in name.parts):
            with suppress(FileNotFoundError):  # renamed or removed meanwhile
                status = path.stat()
                found[name.as_posix()] = (status.st_mtime_ns, status.st_size)
    return found


def pack(folder: Path, names: Iterable[str]) -> Files:
    """Return the content of a folder's files that are still there."""
    files = {}
    for name in names:
        with suppress(FileNotFoundError):
            files[name] = (folder / name).read_bytes()
    return files


def changed(folder: Path, before: Stamps, now: Stamps) -> Change:
    """Return how a folder changed between two stamps of it."""
    files = pack(folder, (name for name, stamp in now.items() if before.get(name) != stamp))
    return Change(files, [name for name in before if name not in now])


def unpack(folder: Path, change: Change) -> None:
    """Apply a change to a folder, which no name may leave; the file that says that the others are there comes last."""
    for name in sorted(change.files, key=lambda name: name == _LAST):
        with atomic_path(_inside(folder, name)) as temporary:
            temporary.write_bytes(change.files[name])
    for name in change.gone:
        path = _inside(folder, name)
        path.unlink(missing_ok=True)
        with suppress(OSError):  # it has other files
            path.parent.rmdir()


def digest(files: Mapping[str, bytes]) -> str:
    """Return one SHA-256 for the names of files and their bytes."""
    return sha256_json({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} leads out of {folder}")
    return path
