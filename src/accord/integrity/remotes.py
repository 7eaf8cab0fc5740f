"""Find and mend what of a DVC remote is not what its name says, and find remotes of which DVC would not notice it.

DVC trusts an object of a remote without reading it, unless the remote's `verify` is set; then it refuses a damaged
one, but doesn't name it, and `dvc push` sends nothing that is there by name.
"""

import textwrap

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.hashfile.db import HashFileDB
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree

from accord.errors import UserError
from accord.integrity.cache import damaged, entries, line
from accord.project import own_command

_KINDS = ("md5", "md5-dos2unix")  # of DVC's hashes, the second one that of DVC 2 and of the run cache's place
_LEVELS = {"repo": "", "local": "--local ", "global": "--global ", "system": "--system "}  # of DVC's configuration


def unverified(repo: Repo) -> list[str]:
    """Return a line for each remote from which DVC would pull damaged objects in silence."""
    levels = {name: flag for level, flag in _LEVELS.items() for name in repo.config.read(level).get("remote", {})}
    return [
        f"remote {name} lacks `verify`, damaged objects of it are pulled in silence: "
        f"`dvc remote modify {levels.get(name, '')}{name} verify true`"
        for name, settings in repo.config["remote"].items()
        if not settings.get("verify")
    ]


def examine_remote(repo: Repo, name: str, *, repair: bool) -> list[str]:
    """Read a remote, each object a piece at a time; return a line for each that is damaged, also of its run cache.

    To repair is to remove it, and the lists of folders (`.dir`) that name it: `dvc push` checks only for the list and
    assumes that its files exist. A remote that can't be read is a `UserError`.
    """
    mend = f"run {own_command(f'check --remote {name} --repair')}"
    try:
        new, legacy = (repo.cloud.get_remote_odb(name, "check --remote", kind) for kind in _KINDS)
        shown = legacy.fs.unstrip_protocol
        if legacy.fs.exists(legacy.path):
            objects = [*_objects(repo, new, mend, repair), *_objects(repo, legacy, mend, repair)]
            return [*objects, *entries(legacy, shown, mend, repair=repair)]
    except DvcException:
        raise
    except ImportError as error:
        remedy = "for SSH and S3 activate an environment with accord[remotes]"
        raise UserError(f"remote {name}: {error}; {remedy}") from None
    except Exception as error:  # each kind of remote has errors of its own
        reason = textwrap.shorten(str(error), 300) or type(error).__name__
        raise UserError(f"remote {name} can't be read: {reason}") from None
    raise UserError(f"remote {name}: nothing is at {shown(legacy.path)}: is its disk there? If so `dvc push` first")


def _objects(repo: Repo, odb: HashFileDB, mend: str, repair: bool) -> list[str]:
    """Return a line for each damaged object of one of a remote's two databases."""
    owners = {out.hash_info.value: str(out) for out in repo.index.outs if out.hash_info}
    bad = damaged(odb)
    lists = _lists(odb, set(bad))
    for folder, named in lists.items():
        owners = dict.fromkeys(named, owners.get(folder, "")) | owners
    if repair:
        for oid in (*lists, *bad):  # lists first: without them nothing of a folder counts as there
            odb.delete(oid)
    shown = odb.fs.unstrip_protocol
    return [line(shown(odb.oid_to_path(oid)), "removed" if repair else mend, owners.get(oid)) for oid in bad]


def _lists(odb: HashFileDB, bad: set[str]) -> dict[str, set[str]]:
    """Return the bad objects that each whole list of a folder names, if any; one list at a time is in memory."""
    found = {}
    for oid in odb.all() if bad else ():
        if oid.endswith(".dir") and oid not in bad:
            tree = Tree.load(odb, HashInfo(odb.hash_name, oid))
            if named := bad & {part.value for _, _, part in tree}:
                found[oid] = named
    return found
