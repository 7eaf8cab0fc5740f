"""Files on their way between machines: named by their place in a folder, whole, and no more than changed."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from seqmnist.files import atomic_path, sha256_json

Files = dict[str, bytes]
Stamps = dict[str, tuple[int, int]]  # when each file was written, and its size

_LAST = "result.json"  # says that the others are there


class Change(NamedTuple):
    """What makes a copy of a folder the same again: files that are new or others, and names of those that are gone."""

    files: Files
    gone: list[str]


def stamps(folder: Path) -> Stamps:
    """The files below a folder, those apart that are being written (`seqmnist.files` begins their names with a dot)."""
    found = {}
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:  # renamed or removed meanwhile
            continue
        if path.is_file() and not path.name.startswith("."):
            found[path.relative_to(folder).as_posix()] = (status.st_mtime_ns, status.st_size)
    return found


def pack(folder: Path, names: Iterable[str]) -> Files:
    """The content of files of a folder, as far as they are still there."""
    files = {}
    for name in names:
        try:
            files[name] = (folder / name).read_bytes()
        except FileNotFoundError:
            continue
    return files


def changed(folder: Path, before: Stamps, now: Stamps) -> Change:
    """What happened in a folder between two looks at it."""
    files = pack(folder, (name for name, stamp in now.items() if before.get(name) != stamp))
    return Change(files, [name for name in before if name not in now])


def unpack(folder: Path, change: Change) -> None:
    """Make a change in a folder, the file last that says that the others are there.

    Raises:
        ValueError: a name leads out of the folder.
    """
    for name in sorted(change.files, key=lambda name: name == _LAST):
        with atomic_path(_inside(folder, name)) as temporary:
            temporary.write_bytes(change.files[name])
    for name in change.gone:
        _inside(folder, name).unlink(missing_ok=True)


def digest(files: Mapping[str, bytes]) -> str:
    """One SHA-256 for the names of files and their bytes."""
    return sha256_json({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} leads out of {folder}")
    return path
