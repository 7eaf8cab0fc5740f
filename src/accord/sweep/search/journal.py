"""The journal of a search: the file in which Optuna keeps the study, one line of JSON for each change."""

import json
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from accord.errors import UserError

NAME = "search"  # name of the study, by which Hyperband assigns trials to its brackets
_FILE = Path("study.journal")
_LOCK = ".lock"  # suffix of the file that Optuna's lock makes
# Optuna's `op_code` of the lines that asking for a trial writes: a new trial, and one parameter of it.
_TRIAL, _PARAMETER = 4, 5


def open_journal(sweep: Path) -> JournalStorage:
    """Open the journal in a sweep's folder."""
    path = str(sweep / _FILE)
    return JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))


def is_there(sweep: Path) -> bool:
    """Return whether a sweep's folder has a journal.

    Raises:
        UserError: The journal is damaged, and not only by a killed process.
    """
    path = sweep / _FILE
    return path.exists() and _intact(path, 0) >= 0


def mend(sweep: Path, parameters: int) -> None:
    """Remove from a journal what a killed process left unfinished, so that the search can resume.

    This is a partial last line, and a last trial without all of its values, which the search then asks for again.

    Args:
        sweep: Folder of the sweep, which this process has locked.
        parameters: Number of values that each trial has.

    Raises:
        UserError: The journal has other damage.
    """
    path = sweep / _FILE
    for lock in sweep.glob(f"{_FILE}{_LOCK}*"):
        lock.unlink()
    if path.exists() and (end := _intact(path, parameters)) < path.stat().st_size:
        with path.open("r+b") as file:
            file.truncate(end)


def _intact(path: Path, parameters: int) -> int:
    """Return the number of bytes of a journal before what a killed process left unfinished."""
    content = path.read_bytes()
    # Offsets in bytes of the end of the intact lines and of the newest trial, and the number of its values.
    end, newest, values = 0, 0, parameters
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        try:
            kind = json.loads(line)["op_code"] if line.endswith(b"\n") else None
        except (ValueError, KeyError, TypeError):
            kind = None
        if kind is None:
            if end + len(line) < len(content):
                raise UserError(f"{path} is damaged in line {number}: restore it, or search in another hydra.sweep.dir")
            break
        if kind == _TRIAL:
            newest, values = end, 0
        values += kind == _PARAMETER
        end += len(line)
    return end if values >= parameters else newest
