"""Damage to the files of a project, such as disks and killed processes cause."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.projects import Project

_PAGE_BYTES = 4096  # page of an SQLite database
_HEADER_BYTES = 100  # header of an SQLite database


def damage_file(path: Path, kind: str) -> None:
    """Damage a file and keep its mode: DVC trusts read-only cache objects.

    Args:
        path: File to damage.
        kind: One of the names in `_DAMAGES`.
    """
    mode = path.stat().st_mode
    path.chmod(0o644)
    _DAMAGES[kind](path)
    if path.exists():
        path.chmod(mode)


def cache_entry(project: Project, name: str) -> Path:
    """Return the path of the DVC cache object of an output, or of a file in an output folder."""
    hashes = project.output_hashes()
    (out,) = [path for path in hashes if name == path or name.startswith(f"{path}/")]
    cache = project.root / ".dvc/cache/files/md5"
    digest: str = hashes[out]
    if out != name:
        listing = json.loads((cache / digest[:2] / digest[2:]).read_text())
        (digest,) = [one["md5"] for one in listing if f"{out}/{one['relpath']}" == name]
    return cache / digest[:2] / digest[2:]


def _flip(path: Path, part: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(part * (len(content) - 1))] ^= 1
    path.write_bytes(content)


def _halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _remove(path: Path) -> None:
    path.unlink()


def _overwrite(path: Path, start: int, stop: int) -> None:
    content = bytearray(path.read_bytes())
    content[start:stop] = bytes(stop - start)
    path.write_bytes(content)


_DAMAGES: dict[str, Callable[[Path], None]] = {
    "flip": _flip,  # one bit in the middle
    "flip the end": lambda path: _flip(path, 1.0),  # one bit in the last byte, past any header
    "halve": _halve,
    "empty": _empty,
    "remove": _remove,
    "overwrite the start": lambda path: _overwrite(path, 0, _HEADER_BYTES),
    "overwrite pages": lambda path: _overwrite(path, _PAGE_BYTES, 9 * _PAGE_BYTES),
}
