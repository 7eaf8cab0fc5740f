"""The journal of a search: the file that Optuna keeps a study in, a line of JSON for each change of it."""

import json
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from accord.errors import UserError

NAME = "search"  # of the study: Hyperband deals trials out by it
_FILE = Path("study.journal")
_LOCK = ".lock"  # is added to the name by Optuna's lock
# Kinds of lines that asking for a trial writes, `op_code` in Optuna's source: a new trial, and one parameter of it.
_TRIAL, _PARAMETER = 4, 5


def open_journal(sweep: Path) -> JournalStorage:
    """Open the journal in a sweep's folder."""
    path = str(sweep / _FILE)
    return JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))


def is_there(sweep: Path) -> bool:
    """Return whether a sweep's folder has a journal; one that is damaged, but not by a kill, is a `UserError`."""
    path = sweep / _FILE
    return path.exists() and _intact(path, 0) >= 0


def mend(sweep: Path, parameters: int) -> None:
    """Remove what a kill left of the journal in a sweep's folder, which this process has claimed.

    That is an unfinished last line, and a trial that was not asked for to its end: it is asked for again.
    `parameters` is the number of values that each trial has.
    """
    path = sweep / _FILE
    for lock in sweep.glob(f"{_FILE}{_LOCK}*"):
        lock.unlink()
    if path.exists() and (end := _intact(path, parameters)) < path.stat().st_size:
        with path.open("r+b") as file:
            file.truncate(end)


def _intact(path: Path, parameters: int) -> int:
    """Return the number of bytes of a journal before what a kill left; other damage is a `UserError`."""
    content = path.read_bytes()
    end, newest, values = 0, 0, parameters  # end of the intact lines, start of the newest trial, its parameters
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
