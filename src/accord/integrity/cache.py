"""Find and repair damage in DVC's cache, its run cache and the outputs, by their hashes.

DVC trusts read-only cache objects without reading them, and trusts an output to be unchanged since it was restored.
Here all bytes are read, and hashed by DVC's own library.
"""

import os
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from dvc.output import Output
from dvc.repo import Repo
from dvc.schema import COMPILED_LOCK_FILE_STAGE_SCHEMA
from dvc.utils import dict_sha256
from dvc.utils.serialize import parse_yaml
from dvc_data.hashfile.build import build
from dvc_data.hashfile.db import HashFileDB, get_odb
from dvc_data.hashfile.hash import hash_file
from dvc_data.hashfile.obj import HashFile
from dvc_data.hashfile.state import StateBase
from dvc_data.hashfile.tree import Tree

from accord.project import mend

_OBJECT = re.compile(r"[0-9a-f]{32}(\.dir)?")  # the name of an object: its MD5; other names are unfinished uploads
_ENTRY = re.compile("[0-9a-f]{64}")  # the name of an entry in the run cache: its SHA-256


def examine_cache(repo: Repo, outputs: Iterable[Output], *, quick: bool, repair: bool) -> list[str]:
    """Return a line for each damaged object, run cache entry and output.

    Missing outputs and those that DVC doesn't cache are skipped.

    Args:
        repo: DVC's repository.
        outputs: Outputs to examine.
        quick: True to read only objects whose size or modification time differs from DVC's database, and only outputs
            that contain a damaged object.
        repair: True to remove damaged objects, entries and files of outputs. Then intact outputs are put back into the
            cache, and damaged ones are restored from it if it has all their files.
    """
    state = repo.state if quick else None
    objects = [(odb, oid) for odb in (repo.cache.local, repo.cache.legacy) for oid in damaged(odb, state)]
    bad = {oid for _, oid in objects}
    kept = [out for out in outputs if out.use_cache and out.hash_info and out.exists]
    parts = {out: _parts(out, bad) for out in kept}
    hashes = {out: {out.hash_info.value, *parts[out].values()} for out in kept}
    owners = {oid: str(out) for out in kept for oid in hashes[out]}
    read = {out: _read(out) for out in kept if not quick or bad & hashes[out]}
    if repair:
        for odb, oid in objects:
            odb.delete(oid)
        for out, found in read.items():
            if found.hash_info == out.hash_info and out.changed_cache():
                out.commit(relink=False)
    broken = [_output(out, parts[out], found, bad, repair) for out, found in read.items()]
    shown = partial(os.path.relpath, start=repo.root_dir)  # the cache may be outside the repository
    lines = []
    for odb, oid in objects:
        how = mend()
        if repair:
            how = f"replaced from {owners[oid]}" if oid in owners and odb.exists(oid) else "removed"
        lines.append(line(shown(odb.oid_to_path(oid)), how, owners.get(oid)))
    return [*lines, *entries(repo.cache.legacy, shown, mend(), repair=repair), *filter(None, broken)]


def line(where: str, mended: str, owner: str | None = None) -> str:
    """Return the line that reports a damaged file of a cache or remote.

    Args:
        where: Path of the file.
        mended: Text that says how the file was or can be repaired.
        owner: Name of the output that the file belongs to, if known.
    """
    return f"{where} is damaged{f' (of {owner})' if owner else ''}: {mended}"


def damaged(odb: HashFileDB, state: StateBase | None = None) -> list[str]:
    """Return the names of the objects of a cache or remote whose bytes don't have the hash that their name gives.

    Objects are read in pieces. Those whose size and modification time agree with DVC's database `state` are not read.
    """

    def is_damaged(oid: str) -> bool:
        try:
            _, found = hash_file(odb.oid_to_path(oid), odb.fs, odb.hash_name, state)
        except FileNotFoundError:  # `dvc gc` removed it after it was listed
            return False
        return bool(found.value.removesuffix(".dir") != oid.removesuffix(".dir"))

    return sorted(oid for oid in odb.all() if _OBJECT.fullmatch(oid) and is_damaged(oid))


def entries(odb: HashFileDB, shown: Callable[[str], str], mend: str, *, repair: bool) -> list[str]:
    """Return a line for each damaged entry of the run cache, and remove these entries if `repair` is set.

    Args:
        odb: Database of DVC 2's objects, beside which DVC keeps the run cache.
        shown: Function that returns the printed form of an entry's path.
        mend: Text that says how to repair an entry.
        repair: True to remove damaged entries.
    """
    runs = odb.fs.join(odb.path, "runs")
    paths = sorted(odb.fs.find(runs)) if odb.fs.exists(runs) else []
    bad = [path for path in paths if _ENTRY.fullmatch(odb.fs.name(path)) and _is_broken(path, odb)]
    if repair:
        for path in bad:
            odb.fs.remove(path)
    return [line(shown(path), "removed" if repair else mend) for path in bad]


def _is_broken(path: str, odb: HashFileDB) -> bool:
    """Return whether an entry of the run cache is unreadable or doesn't have the hash that its name gives."""
    try:
        with odb.fs.open(path, "rb") as file:  # an unreachable remote raises here, which is not damage
            content = file.read()
    except FileNotFoundError:
        return False
    try:
        entry = COMPILED_LOCK_FILE_STAGE_SCHEMA(parse_yaml(content.decode(), path))
    except Exception:  # the YAML parser, the UTF-8 decoder and DVC's schema raise many types
        return True
    return bool(dict_sha256(entry, exclude=["size", "nfiles"]) != odb.fs.name(path))


def _parts(out: Output, bad: set[str]) -> dict[str, str]:
    """Return the hashes of an output's files according to dvc.lock, by name in the output; empty if `.dir` is lost."""
    if not out.hash_info.isdir:
        return {"": out.hash_info.value}
    return _files(None if out.hash_info.value in bad else out.get_obj())


def _files(built: HashFile | None) -> dict[str, str]:
    if isinstance(built, Tree):
        return {"/".join(key): found.value for key, _, found in built}
    return {"": built.oid} if built else {}


def _read(out: Output) -> HashFile:
    """Hash an output's present files, without the hashes in DVC's database."""
    without_database = get_odb(out.cache.fs, out.cache.path, hash_name=out.hash_name)
    _, _, built = build(without_database, out.fs_path, out.fs, out.hash_name, dry_run=True, ignore=out.dvcignore)
    return built


def _output(out: Output, parts: dict[str, str], found: HashFile, bad: set[str], repair: bool) -> str:
    """Return a line if files of an output match neither dvc.lock nor any cached version, else "".

    DVC itself notices missing files, and reruns a stage if the cache lacks the output's `.dir` listing.

    Args:
        out: Output to judge.
        parts: Hashes of its files according to dvc.lock, by name.
        found: Hashed files as they are now.
        bad: Hashes of damaged objects.
        repair: True to remove the damaged files, and to restore the output if the cache has all its files.
    """
    if found.hash_info == out.hash_info or not (parts or out.hash_info.value in bad):
        return ""
    differing = [(name, oid) for name, oid in _files(found).items() if oid != parts.get(name)]
    names = sorted(name for name, oid in differing if oid in bad or not out.cache.exists(oid))
    if not names:
        return ""
    how = mend()
    if repair:
        for name in names:
            Path(out.fs_path, name).unlink()
        if out.changed_cache():
            how = "removed"
        else:
            out.checkout(force=True)
            how = "restored from the cache"
    files = "" if names == [""] else f" ({', '.join(names)})"
    return f"{out} is not what dvc.lock says{files}: {how}"
