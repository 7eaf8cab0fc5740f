"""The command `check`: find and repair damage in DVC's files.

A killed command may leave dvc.lock, params.yaml or DVC's list of processes half-written. Then every DVC command fails.
Caches, outputs and remotes are examined by `accord.integrity.cache` and `accord.integrity.remotes`.
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
    """Print a line for each damaged thing: where it is, what is wrong, and how it was or can be repaired.

    Only damaged things are removed. The next `dvc repro` makes missing outputs again, the next `dvc push` uploads
    missing objects.

    Args:
        repair: True to repair the damage.
        quick: True to skip objects whose size and modification time agree with DVC's database.
        remote: Name of the DVC remote to check instead of this machine's files; "" for the default remote.

    Raises:
        UserError: Damage was found and not repaired, the remote can't be read, or DVC is at work here.
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
        raise UserError(f"DVC is at work here{_who(error)}: wait until it ends") from None
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
    """Return a line for each damaged thing on this machine; print a line for each remote that DVC doesn't verify."""
    with lock_repo(repo):  # every DVC command that writes these files holds this lock
        found = _process_list(repo, repair)
        if repair:
            with _rwlock(repo, write=[repo.root_dir]):
                found += [*_texts(repo, repair), *examine_cache(repo, repo.index.outs, quick=quick, repair=True)]
        else:
            found += _texts(repo, repair)
            outputs = [] if found else _idle_outputs(repo)
    if not repair:  # without the lock: reading may take longer than DVC commands wait for it
        found += examine_cache(repo, outputs, quick=quick, repair=False)
    for line in remotes.unverified(repo):  # a risk, not damage, so it does not count as found
        print(line)
    return found


def _who(error: Exception) -> str:
    return "".join(re.findall(r" \(PID .*", str(error))[:1])


def _rwlock(repo: Repo, *, read: Sequence[str] = (), write: Sequence[str] = ()) -> Any:
    """Lock paths for reading or writing, as DVC's stages do."""
    hardlink = repo.config["core"].get("hardlink_lock")
    return rwlock(repo.tmp_dir, repo.fs, "accord check", list(read), list(write), hardlink=hardlink)


def _idle_outputs(repo: Repo) -> list[Output]:
    """Return all outputs; if a stage is writing some, print that and return none."""
    try:
        with _rwlock(repo, read=[repo.root_dir]):
            return list(repo.index.outs)
    except LockError as error:
        print(f"outputs are skipped: DVC is at work here{_who(error)}")
        return []


def _process_list(repo: Repo, repair: bool) -> list[str]:
    """Return a line if DVC's list of processes that hold files is unreadable, or names processes with reused ids."""
    path = Path(repo.tmp_dir, RWLOCK_FILE)
    try:
        entries = SCHEMA(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return []
    except Exception:  # the JSON parser, the UTF-8 decoder and DVC's schema raise many types
        what = "can't be read"
    else:
        if not _is_left_over(path, entries):
            return []
        what = "names an ended process, whose id another process has now"
    if repair:
        path.unlink()
    return [f"{path.relative_to(repo.root_dir)} {what}: {'removed' if repair else mend()}"]


def _is_left_over(path: Path, entries: dict[str, Any]) -> bool:
    """Return whether all living processes of the list started after it was written.

    Then they only reuse the ids of ended processes, and DVC would wait for them in vain.
    """
    holders = chain(entries["write"].values(), *entries["read"].values())
    living = [psutil.Process(one["pid"]) for one in holders if psutil.pid_exists(one["pid"])]
    return bool(living) and all(process.create_time() > path.stat().st_mtime for process in living)


def _texts(repo: Repo, repair: bool) -> list[str]:
    """Return a line for each of params.yaml and dvc.lock that DVC can't read."""
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
    """Rename a damaged file, restore git's version if there is one, and return text that says so."""
    names = (path.with_name(f"{path.name}.damaged{number or ''}") for number in count())
    aside = path.rename(next(name for name in names if not name.exists())).name
    try:
        git("checkout", "--quiet", "--", path.name, folder=path.parent)
    except GitError as reason:
        return f"renamed to {aside}; git has no version to restore ({reason})"
    return f"renamed to {aside}, and git's version restored"
