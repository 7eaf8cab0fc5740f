"""Search of a user's folder for raw files, by size and SHA-256. Names, subfolders and archives do not matter."""

import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from seqmnist.config import RawFile
from seqmnist.data.raw import GZIP_MAGIC, NPY_MAGIC, SourceError, WrongBytesError, deliver

SLACK_BYTES = 1 << 16  # how much longer a gzip stream may be than its content, where that can not be compressed
_MAX_ENTRIES = 10_000  # files, folders and members of archives that are examined
_MAX_LEVELS = 5  # levels of folders that are searched
_MAX_TRIED_FILES = 50  # candidates that are read to find one of the wanted files
_MAX_NAMED_FILES = 6  # files that a message names
_ZIP_MAGIC = b"PK\x03\x04"


class _Candidate(NamedTuple):
    """A file, or a member of an archive."""

    path: Path  # of the file or archive
    name: str  # path from the searched folder
    size: int  # bytes, as stored or as the archive says
    start: bytes
    member: str = ""  # path within the archive

    def is_named(self, file: RawFile) -> bool:
        """Return whether the name starts with the configured one, apart from dots, dashes and case."""
        return _letters(Path(self.name).name).startswith(_letters(file.name))

    def can_be(self, file: RawFile) -> bool:
        """Return whether a file of this size can hold the configured file."""
        if self.start.startswith((GZIP_MAGIC, NPY_MAGIC)):
            return self.size <= file.bytes + SLACK_BYTES
        return self.size == file.bytes


def deliver_from(top: Path, wanted: list[RawFile], folder: Path) -> None:
    """Find the wanted files in a folder or its archives, and copy them to the raw files.

    Args:
        top: Folder to search, or an archive.
        wanted: Files to find.
        folder: Folder of raw files.

    Raises:
        SourceError: A file was not found. The message lists what was there.
    """
    if not top.exists():
        raise SourceError("there is no such folder")
    unreadable: list[str] = []
    entries = sorted(islice(_entries(top, unreadable), _MAX_ENTRIES), key=lambda path: (len(path.parts), path))
    candidates = list(islice(_candidates(top, entries, unreadable), _MAX_ENTRIES))
    reasons: dict[str, str] = {}  # candidate's name -> why it was refused; empty if delivered
    absent = [file.name for file in wanted if not _deliver_first(candidates, file, folder, reasons)]
    if absent:
        others = [f"{one.name} ({one.size} bytes)" for one in candidates if one.name not in reasons]
        parts = [_few([*filter(None, reasons.values()), *unreadable], "; ")]
        parts += [f"{len(others)} of other sizes: {_few(others, ', ')}"] if others else []
        if _MAX_ENTRIES in {len(entries), len(candidates)}:
            parts.append(f"only {_MAX_ENTRIES} files and folders were looked at")
        seen = "; ".join(filter(None, parts)) or "there is no file"
        raise SourceError(f"{', '.join(absent)} can't be found there under any name ({seen})")


def _few(texts: list[str], separator: str) -> str:
    more = [f"{len(texts) - _MAX_NAMED_FILES} more"] if len(texts) > _MAX_NAMED_FILES else []
    return separator.join(texts[:_MAX_NAMED_FILES] + more)


def _deliver_first(candidates: list[_Candidate], file: RawFile, folder: Path, reasons: dict[str, str]) -> bool:
    """Deliver the first matching candidate, trying similar names first. Record why others do not match."""
    fitting = [one for one in candidates if one.is_named(file) or one.can_be(file)]
    for candidate in sorted(fitting, key=lambda one: not one.is_named(file))[:_MAX_TRIED_FILES]:
        path = zipfile.Path(candidate.path, candidate.member) if candidate.member else candidate.path
        parent, _, _ = candidate.name.rpartition(path.name)
        try:
            deliver(path, file, folder)
        except WrongBytesError as error:
            reasons.setdefault(candidate.name, f"{parent}{error}")
        except OSError as error:
            if error.filename != str(candidate.path):  # the target can't be written
                raise
            reasons[candidate.name] = f"{candidate.name}: {error.strerror}"
        else:
            reasons[candidate.name] = ""
            return True
    return False


def _candidates(top: Path, entries: list[Path], unreadable: list[str]) -> Iterator[_Candidate]:
    """Yield the files among a folder's entries and the members of its archives. Record unreadable ones."""
    for path in filter(Path.is_file, entries):  # opening a pipe would block
        name = path.relative_to(top).as_posix() if path != top else path.name
        try:
            with path.open("rb") as file:
                start = file.read(len(NPY_MAGIC))
            if start.startswith(_ZIP_MAGIC):
                yield from _members(path, name)
            else:
                yield _Candidate(path, name, path.stat().st_size, start)
        except OSError as error:
            unreadable.append(f"{name}: {error.strerror}")
        except Exception as error:  # a broken archive makes zipfile raise many types
            unreadable.append(f"{name}: broken archive: {' '.join(str(error).split())}")


def _members(path: Path, name: str) -> Iterator[_Candidate]:
    with zipfile.ZipFile(path) as archive:
        for member in filter(lambda member: not member.is_dir(), archive.infolist()):
            start = b""
            with (
                suppress(Exception),
                archive.open(member) as file,
            ):  # `deliver` reports the error when it reads the member
                start = file.read(len(NPY_MAGIC))
            yield _Candidate(path, f"{name}/{member.filename}", member.file_size, start, member.filename)


def _entries(top: Path, unreadable: list[str]) -> Iterator[Path]:
    """Yield a file, or a folder and everything below it. Links to folders are not followed: they may form cycles."""

    def note(error: OSError) -> None:
        unreadable.append(f"{Path(error.filename).name}: {error.strerror}")

    yield top
    for folder, folders, files in os.walk(top, onerror=note) if top.is_dir() else []:
        yield from (Path(folder, name) for name in [*files, *folders])
        if len(Path(folder).relative_to(top).parts) == _MAX_LEVELS - 1:
            folders.clear()


def _letters(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())
