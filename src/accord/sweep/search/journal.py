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


def mend(sweep: Path, parameters: int = 0) -> None:
    """Remove what a kill left of the journal in a sweep's folder, which this process has claimed.

    That is an unfinished last line, and a trial that was not asked for to its end: it is asked for again.
    `parameters` is the number of values that each trial has; with 0 all trials stay.

    Raises:
        UserError: A line is broken that can't come from a kill.
    """
    path = sweep / _FILE
    path.with_name(path.name + _LOCK).unlink(missing_ok=True)
    if not path.exists():
        return
    end, newest, values = 0, 0, 0  # end of the intact lines, start of the newest trial, its parameters
    content = path.read_bytes()
    has_trial = False
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
            newest, values, has_trial = end, 0, True
        values += kind == _PARAMETER
        end += len(line)
    if has_trial and values < parameters:
        end = newest
    if end < len(content):
        with path.open("r+b") as file:
            file.truncate(end)
