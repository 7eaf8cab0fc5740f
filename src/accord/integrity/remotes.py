"""Find and repair damage in a DVC remote by its objects' hashes, and find remotes whose objects DVC doesn't verify.

DVC trusts an object of a remote without reading it, unless the remote's `verify` is set. Then it refuses a damaged
object, but doesn't name it. `dvc push` skips an object if the remote has one of that name, even a damaged one.
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

_KINDS = ("md5", "md5-dos2unix")  # hash names of DVC's databases; the second is DVC 2's, which has the run cache
_LEVELS = {"repo": "", "local": "--local ", "global": "--global ", "system": "--system "}  # DVC's configuration files


def unverified(repo: Repo) -> list[str]:
    """Return a line for each remote without `verify`, from which DVC would pull damaged objects without an error."""
    levels = {name: flag for level, flag in _LEVELS.items() for name in repo.config.read(level).get("remote", {})}
    return [
        f"remote {name} lacks `verify`, so its damaged objects are pulled without an error: "
        f"run `dvc remote modify {levels.get(name, '')}{name} verify true`"
        for name, settings in repo.config["remote"].items()
        if not settings.get("verify")
    ]


def examine_remote(repo: Repo, name: str, *, repair: bool) -> list[str]:
    """Read all objects of a remote in pieces; return a line for each damaged object and run cache entry.

    Repair removes them and the `.dir` listings that name them: `dvc push` checks only for the listing and assumes that
    its files exist.

    Args:
        repo: DVC's repository.
        name: Name of the remote.
        repair: True to repair the damage.

    Raises:
        DvcException: DVC knows no such remote.
        UserError: The remote can't be read.
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
    except Exception as error:  # each kind of remote raises its own types
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
        for oid in (*lists, *bad):  # listings first: after a kill in between, `dvc push` uploads the files again
            odb.delete(oid)
    shown = odb.fs.unstrip_protocol
    return [line(shown(odb.oid_to_path(oid)), "removed" if repair else mend, owners.get(oid)) for oid in bad]


def _lists(odb: HashFileDB, bad: set[str]) -> dict[str, set[str]]:
    """Return, by the name of each intact `.dir` listing, the bad objects that it names, if any.

    Only one listing at a time is in memory.
    """
    found = {}
    for oid in odb.all() if bad else ():
        if oid.endswith(".dir") and oid not in bad:
            tree = Tree.load(odb, HashInfo(odb.hash_name, oid))
            if named := bad & {part.value for _, _, part in tree}:
                found[oid] = named
    return found
