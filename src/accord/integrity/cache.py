"""What of DVC's cache, its run cache and the outputs is not what its name or dvc.lock says.

DVC takes a read-only object of its cache for whole without reading it, and an output for what it was restored from.
Here all bytes are read, and hashed by DVC's own library.
"""

import os
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from accord.project import mend

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc_data.hashfile.db import HashFileDB
    from dvc_data.hashfile.obj import HashFile
    from dvc_data.hashfile.state import StateBase

_OBJECT = re.compile(r"[0-9a-f]{32}(\.dir)?")  # others are uploads that are at work
_ENTRY = re.compile("[0-9a-f]{64}")  # the name of an entry in the run cache: its SHA-256


def examine_cache(repo: "Repo", outputs: Iterable["Output"], *, quick: bool, repair: bool) -> list[str]:
    """Return a line for each thing that is damaged in the caches and in outputs.

    To repair is to remove damaged objects, entries and files of outputs, to put whole outputs back into the cache,
    and to restore the others from it where it has all of them.

    Args:
        repo: whose caches.
        outputs: those of its stages; missing ones and those that DVC doesn't cache are passed over.
        quick: read only objects whose size or time is not the one that DVC's database has, and only outputs of which
            a damaged object is a part.
        repair: mend what is found.
    """
    state = repo.state if quick else None
    objects = [(odb, oid) for odb in (repo.cache.local, repo.cache.legacy) for oid in damaged(odb, state)]
    bad = {oid for _, oid in objects}
    kept = [out for out in outputs if out.use_cache and out.hash_info and out.exists]
    parts = {out: _parts(out, bad) for out in kept}
    owners = {oid: str(out) for out in kept for oid in (out.hash_info.value, *parts[out].values())}
    read = {out: _read(out) for out in kept if not quick or bad & {out.hash_info.value, *parts[out].values()}}
    if repair:
        for odb, oid in objects:
            odb.delete(oid)
        for out, found in read.items():
            if found.hash_info == out.hash_info and out.changed_cache():
                out.commit(relink=False)
    broken = [_output(out, parts[out], found, bad, repair) for out, found in read.items()]
    shown = partial(os.path.relpath, start=repo.root_dir)  # a cache may be elsewhere

    def mended(odb: "HashFileDB", oid: str) -> str:
        if not repair:
            return mend()
        return f"replaced from {owners[oid]}" if oid in owners and odb.exists(oid) else "removed"

    objects_told = [line(shown(odb.oid_to_path(oid)), mended(odb, oid), owners.get(oid)) for odb, oid in objects]
    return [*objects_told, *entries(repo.cache.legacy, shown, mend(), repair=repair), *filter(None, broken)]


def line(where: str, mended: str, owner: str | None = None) -> str:
    """Return the line for a damaged file of a cache or remote: how it was or can be mended, which output it is of."""
    return f"{where} is damaged (of {owner}): {mended}" if owner else f"{where} is damaged: {mended}"


def damaged(odb: "HashFileDB", state: "StateBase | None" = None) -> list[str]:
    """Return the names of the objects of a cache or remote whose bytes have another hash; read a piece at a time.

    Args:
        odb: Cache or remote.
        state: DVC's database; objects with the size and time that it has are not read.
    """
    from dvc_data.hashfile.hash import hash_file

    def is_damaged(oid: str) -> bool:
        try:
            _, found = hash_file(odb.oid_to_path(oid), odb.fs, odb.hash_name, state)
        except FileNotFoundError:  # collected as garbage meanwhile
            return False
        return bool(found.value.removesuffix(".dir") != oid.removesuffix(".dir"))

    return sorted(oid for oid in odb.all() if _OBJECT.fullmatch(oid) and is_damaged(oid))


def entries(odb: "HashFileDB", shown: Callable[[str], str], mend: str, *, repair: bool) -> list[str]:
    """Return a line for each damaged entry of the run cache, which is beside the objects of DVC 2.

    Args:
        odb: Cache or remote.
        shown: Text for the path of an entry.
        mend: How to repair it.
        repair: Remove them.
    """
    runs = odb.fs.join(odb.path, "runs")
    paths = sorted(odb.fs.find(runs)) if odb.fs.exists(runs) else []
    bad = [path for path in paths if _ENTRY.fullmatch(odb.fs.name(path)) and _is_broken(path, odb)]
    if repair:
        for path in bad:
            odb.fs.remove(path)
    return [line(shown(path), "removed" if repair else mend) for path in bad]


def _is_broken(path: str, odb: "HashFileDB") -> bool:
    """Whether an entry of a run cache is not what its name, a hash of it, says."""
    from dvc.schema import COMPILED_LOCK_FILE_STAGE_SCHEMA
    from dvc.utils import dict_sha256
    from dvc.utils.serialize import parse_yaml

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


def _parts(out: "Output", bad: set[str]) -> dict[str, str]:
    """The hash of each file as dvc.lock has it, by its name in the output; empty where their list is lost."""
    if not out.hash_info.isdir:
        return {"": out.hash_info.value}
    listed = None if out.hash_info.value in bad else out.get_obj()
    return _files(listed) if listed else {}


def _files(built: "HashFile") -> dict[str, str]:
    from dvc_data.hashfile.tree import Tree

    if isinstance(built, Tree):
        return {"/".join(key): found.value for key, _, found in built}
    return {"": built.oid}


def _read(out: "Output") -> "HashFile":
    """An output as it is, without what DVC's database says of it."""
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import get_odb

    without_database = get_odb(out.cache.fs, out.cache.path, hash_name=out.hash_name)
    _, _, built = build(without_database, out.fs_path, out.fs, out.hash_name, dry_run=True, ignore=out.dvcignore)
    return built


def _output(out: "Output", parts: dict[str, str], found: "HashFile", bad: set[str], repair: bool) -> str:
    """Return a line if files of an output are neither what dvc.lock says nor of another version, else no text.

    DVC sees by itself what is missing.
    """
    is_unlisted = not parts and out.hash_info.value not in bad  # a cache without its list: DVC runs the stage again
    if found.hash_info == out.hash_info or is_unlisted:
        return ""
    damaged = sorted(
        name
        for name, oid in _files(found).items()
        if oid != parts.get(name) and (oid in bad or not out.cache.exists(oid))
    )
    if not damaged:
        return ""
    files = "" if damaged == [""] else f" ({', '.join(damaged)})"
    return f"{out} is not what dvc.lock says{files}: {_mended(out, damaged) if repair else mend()}"


def _mended(out: "Output", damaged: list[str]) -> str:
    for name in damaged:
        Path(out.fs_path, name).unlink()
    if out.changed_cache():
        return "removed"
    out.checkout(force=True)
    return "restored from the cache"
