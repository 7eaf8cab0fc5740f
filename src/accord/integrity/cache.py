"""Find and mend what of DVC's cache, its run cache and the outputs is not what its name or dvc.lock says.

DVC trusts a read-only object of its cache without reading it, and an output to be what it was restored from.
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

_OBJECT = re.compile(r"[0-9a-f]{32}(\.dir)?")  # others are uploads that are at work
_ENTRY = re.compile("[0-9a-f]{64}")  # the name of an entry in the run cache: its SHA-256


def examine_cache(repo: Repo, outputs: Iterable[Output], *, quick: bool, repair: bool) -> list[str]:
    """Return a line for each thing that is damaged in the caches and in outputs.

    To repair is to remove damaged objects, entries and files of outputs, to put whole outputs back into the cache,
    and to restore the others from it where it has all of them.

    Missing outputs and those that DVC doesn't cache are passed over. `quick` reads only objects whose size or time is
    not the one that DVC's database has, and only outputs of which a damaged object is a part.
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
    shown = partial(os.path.relpath, start=repo.root_dir)  # a cache may be elsewhere
    lines = []
    for odb, oid in objects:
        how = mend()
        if repair:
            how = f"replaced from {owners[oid]}" if oid in owners and odb.exists(oid) else "removed"
        lines.append(line(shown(odb.oid_to_path(oid)), how, owners.get(oid)))
    return [*lines, *entries(repo.cache.legacy, shown, mend(), repair=repair), *filter(None, broken)]


def line(where: str, mended: str, owner: str | None = None) -> str:
    """Return the line for a damaged file of a cache or remote: how it was or can be mended, which output it is of."""
    return f"{where} is damaged{f' (of {owner})' if owner else ''}: {mended}"


def damaged(odb: HashFileDB, state: StateBase | None = None) -> list[str]:
    """Return the names of the objects of a cache or remote whose bytes have another hash; read a piece at a time.

    Objects with the size and time that DVC's database `state` has are not read.
    """

    def is_damaged(oid: str) -> bool:
        try:
            _, found = hash_file(odb.oid_to_path(oid), odb.fs, odb.hash_name, state)
        except FileNotFoundError:  # collected as garbage meanwhile
            return False
        return bool(found.value.removesuffix(".dir") != oid.removesuffix(".dir"))

    return sorted(oid for oid in odb.all() if _OBJECT.fullmatch(oid) and is_damaged(oid))


def entries(odb: HashFileDB, shown: Callable[[str], str], mend: str, *, repair: bool) -> list[str]:
    """Return a line for each damaged entry of the run cache, which is beside the objects of DVC 2; remove it to repair.

    `shown` gives the text for the path of an entry, `mend` says how to repair it.
    """
    runs = odb.fs.join(odb.path, "runs")
    paths = sorted(odb.fs.find(runs)) if odb.fs.exists(runs) else []
    bad = [path for path in paths if _ENTRY.fullmatch(odb.fs.name(path)) and _is_broken(path, odb)]
    if repair:
        for path in bad:
            odb.fs.remove(path)
    return [line(shown(path), "removed" if repair else mend) for path in bad]


def _is_broken(path: str, odb: HashFileDB) -> bool:
    """Return whether an entry of a run cache is not what its name, a hash of it, says."""
    try:
        with odb.fs.open(path, "rb") as file:  # a remote that is away raises here: that is no damage
            content = file.read()
    except FileNotFoundError:
        return False
    try:
        entry = COMPILED_LOCK_FILE_STAGE_SCHEMA(parse_yaml(content.decode(), path))
    except Exception:  # of YAML, of UTF-8 or of DVC's schema
        return True
    return bool(dict_sha256(entry, exclude=["size", "nfiles"]) != odb.fs.name(path))


def _parts(out: Output, bad: set[str]) -> dict[str, str]:
    """Return the hash of each file as dvc.lock has it, by its name in the output; nothing where their list is lost."""
    if not out.hash_info.isdir:
        return {"": out.hash_info.value}
    return _files(None if out.hash_info.value in bad else out.get_obj())


def _files(built: HashFile | None) -> dict[str, str]:
    if isinstance(built, Tree):
        return {"/".join(key): found.value for key, _, found in built}
    return {"": built.oid} if built else {}


def _read(out: Output) -> HashFile:
    """Return an output as it is, without what DVC's database says of it."""
    without_database = get_odb(out.cache.fs, out.cache.path, hash_name=out.hash_name)
    _, _, built = build(without_database, out.fs_path, out.fs, out.hash_name, dry_run=True, ignore=out.dvcignore)
    return built


def _output(out: Output, parts: dict[str, str], found: HashFile, bad: set[str], repair: bool) -> str:
    """Return a line if files of an output match neither dvc.lock nor any cached version, else no text.

    DVC sees by itself what is missing, and runs a stage again whose cache lacks the output's list.
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
