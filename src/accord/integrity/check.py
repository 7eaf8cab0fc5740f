"""Find and mend what is damaged of DVC's files: the command `check`.

A command that was killed may leave dvc.lock, params.yaml or DVC's list of processes half-written, and then no command
of DVC's works. `accord.integrity.cache` has the cache and the outputs.
"""

import json
import re
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

import psutil
from dvc.dvcfile import LOCK_FILE, Lockfile
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.output import Output
from dvc.repo import Repo, lock_repo
from dvc.rwlock import RWLOCK_FILE, SCHEMA, rwlock
from dvc.utils.serialize import load_yaml

from accord.errors import UserError
from accord.git import GitError, git
from accord.integrity import remotes
from accord.integrity.cache import examine_cache
from accord.paths import PARAMS
from accord.project import mend


def check(*, repair: bool = False, quick: bool = False, remote: str | None = None) -> None:
    """Print a line for each thing that is damaged: where, what, and what to do or what was done.

    Nothing that is whole is removed; the next `dvc repro` makes again what is missing, the next `dvc push` sends it.
    `quick` reads no object that DVC's database knows by its size and time; an empty `remote` is the default one.

    Raises:
        UserError: Something is damaged and was left so, the remote can't be read, or DVC is at work here.
    """
    try:
        with Repo() as repo:
            if remote is None:
                found, after = _check_here(repo, repair, quick), "`dvc repro` makes again what is missing"
            else:
                name = remote or repo.cloud.get_remote(command="check --remote").name
                found = remotes.examine_remote(repo, name, repair=repair)
                after = f"`dvc push --run-cache -r {name}` in a clone that has it whole sends it again"
    except LockError as error:
        raise UserError(f"DVC is at work here{_who(error)}: wait for its end") from None
    except DvcException as error:
        raise UserError(f"DVC: {textwrap.shorten(str(error), 300)}") from None
    for line in found:
        print(line)
    if found and not repair:
        raise UserError("1 thing is damaged" if len(found) == 1 else f"{len(found)} things are damaged")
    if found:
        print(after)
    elif not quick:
        print("nothing is damaged")


def _check_here(repo: Repo, repair: bool, quick: bool) -> list[str]:
    """Return a line for each thing that is damaged here; print one for each remote that may damage something."""
    with lock_repo(repo):  # who writes these files holds it
        found = _process_list(repo, repair)
        if repair:
            with _rwlock(repo, write=[repo.root_dir]):
                found += [*_texts(repo, repair), *examine_cache(repo, repo.index.outs, quick=quick, repair=True)]
        else:
            found += _texts(repo, repair)
            outputs = [] if found else _idle_outputs(repo)
    if not repair:  # this may take longer than commands of DVC's wait for the lock
        found += examine_cache(repo, outputs, quick=quick, repair=False)
    for line in remotes.unverified(repo):  # a risk and no damage
        print(line)
    return found


def _who(error: Exception) -> str:
    return "".join(re.findall(r" \(PID .*", str(error))[:1])


def _rwlock(repo: Repo, *, read: Sequence[str] = (), write: Sequence[str] = ()) -> Any:
    """Hold places to read or to write as DVC's stages hold theirs."""
    hardlink = repo.config["core"].get("hardlink_lock")
    return rwlock(repo.tmp_dir, repo.fs, "accord check", list(read), list(write), hardlink=hardlink)


def _idle_outputs(repo: Repo) -> list[Output]:
    """Return all outputs, or none while a stage is writing some."""
    try:
        with _rwlock(repo, read=[repo.root_dir]):
            return list(repo.index.outs)
    except LockError as error:
        print(f"outputs are passed over: DVC is at work here{_who(error)}")
        return []


def _process_list(repo: Repo, repair: bool) -> list[str]:
    """Return a line if DVC can't read which processes hold which files, or these are no longer they."""
    path = Path(repo.tmp_dir, RWLOCK_FILE)
    try:
        entries = SCHEMA(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return []
    except Exception:  # of JSON, of UTF-8 or of DVC's schema
        what = "can't be read"
    else:
        if not _is_left_over(path, entries):
            return []
        what = "names a process that has ended, whose number another one has now"
    if repair:
        path.unlink()
    return [f"{path.relative_to(repo.root_dir)} {what}: {'removed' if repair else mend()}"]


def _is_left_over(path: Path, entries: dict[str, Any]) -> bool:
    """Return whether all living processes of the list began after it was written: DVC would wait for them."""
    holders = chain(entries["write"].values(), *entries["read"].values())
    living = [psutil.Process(one["pid"]) for one in holders if psutil.pid_exists(one["pid"])]
    return bool(living) and all(process.create_time() > path.stat().st_mtime for process in living)


def _texts(repo: Repo, repair: bool) -> list[str]:
    """Return a line for params.yaml and for dvc.lock if DVC can't read it."""
    found = []
    for name in (str(PARAMS), LOCK_FILE):
        path = Path(repo.root_dir, name)
        try:
            with suppress(FileNotFoundError):
                Lockfile(repo, str(path)).load() if name == LOCK_FILE else load_yaml(path)
        except DvcException:
            found.append(f"{name} can't be read: {_moved(path) if repair else mend()}")
    return found


def _moved(path: Path) -> str:
    """Put a file aside, and git's version in its place where there is one; say so."""
    names = (path.with_name(f"{path.name}.damaged{number or ''}") for number in count())
    aside = path.rename(next(name for name in names if not name.exists())).name
    try:
        git("checkout", "--quiet", "--", path.name, folder=path.parent)
    except GitError as reason:
        return f"it is {aside} now; git has no version for its place ({reason})"
    return f"it is {aside} now, and git's version in its place"
