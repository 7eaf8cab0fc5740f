"""Correct the artifact addresses in a local store's database after the repository was moved or copied.

MLflow stores absolute addresses, so the artifacts of a copy would go into the original. Relative addresses do not help:
MLflow resolves them against the working directory of each process.
"""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ARTIFACTS = "mlartifacts"
# A tag of MLflow's default experiment records the database's folder; addresses below that folder are right.
_RECORDED = "SELECT value FROM experiment_tags WHERE key = 'store.root' AND experiment_id = 0"
_RECORD = "INSERT OR REPLACE INTO experiment_tags (key, value, experiment_id) VALUES ('store.root', ?, 0)"
# Columns that hold addresses, by table. Tags are included because a sweep is found by its folder, which is a tag.
ADDRESSES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "tags": ("value",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
    "trace_tags": ("value",),
}
_LOCK_TIMEOUT_SECONDS = 60
_READ_ONLY = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


def follow(database: Path) -> None:
    """Rewrite the addresses below a database's former folder, and print a line if the database was moved.

    Other addresses stay. If several processes open the store at the same time, one rewrites all addresses in a
    transaction. A database that can't be written keeps its addresses, and a line says so.

    Args:
        database: Absolute path of the database file, with symbolic links resolved.
    """
    root = database.parent
    with closing(sqlite3.connect(database, timeout=_LOCK_TIMEOUT_SECONDS, isolation_level=None)) as store:
        if (recorded := _recorded(store)) and _is_in(recorded, database):
            return
        try:
            store.execute("BEGIN IMMEDIATE")  # then read again: another process may have rewritten the addresses
            old = _recorded(store) or root
            is_there = _is_in(old, database)
            line = "" if is_there else _rewrite(store, old, root)
            store.execute(_RECORD, [str(old if is_there else root)])
            store.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _READ_ONLY:  # the low byte is SQLite's primary error code
                raise
            what = f"{database} can't be written: its artifacts are still looked for in {recorded}"
            line = what if recorded else ""
    if line:
        print(f"tracking: {line}", flush=True)


def set_default_artifacts(database: Path, folder: Path) -> None:
    """Set the artifact folder of MLflow's default experiment, which otherwise is in the working directory."""
    with closing(sqlite3.connect(database)) as store, store:
        store.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = 0", [folder.as_uri()])


def _recorded(store: sqlite3.Connection) -> Path | None:
    row = store.execute(_RECORDED).fetchone()
    return Path(row[0]) if row else None


def _is_in(folder: Path, database: Path) -> bool:
    """Return whether a folder contains this database file, even if a mount or link gives the file a second path."""
    try:
        return (folder / database.name).samefile(database)
    except OSError:  # the folder has no such file, or this user may not read it
        return False


def _rewrite(store: sqlite3.Connection, old: Path, root: Path) -> str:
    """Rewrite the addresses below the old root, and return a line with the numbers of corrected runs and models."""
    store.create_function("moved", 1, partial(_moved, old=old, root=root), deterministic=True)
    counts = {}
    for table, columns in ADDRESSES.items():
        for column in columns:
            command = f"UPDATE {table} SET {column} = moved({column}) WHERE {column} <> moved({column})"  # noqa: S608
            counts[table] = store.execute(command).rowcount
    lack = "" if (root / ARTIFACTS).exists() else f"; {root} has no folder {ARTIFACTS}: copy it from there"
    what = f"corrected the artifact paths of its runs ({counts['runs']}) and models ({counts['logged_models']})"
    return f"the store moved from {old} to {root}: {what}{lack}"


def _moved(address: Any, old: Path, root: Path) -> Any:
    """Return an address with the old root replaced by the new one; return other values unchanged."""
    path = _path(address) if isinstance(address, str) else None
    if path is None or not path.is_relative_to(old):
        return address
    if root.is_relative_to(old) and path.is_relative_to(root):  # the new root is in the old one: this is right already
        return address
    place = root / path.relative_to(old)
    return place.as_uri() if address.startswith("file:") else str(place)


def _path(address: str) -> Path | None:
    """Return the absolute path of a local address, or None for any other text."""
    if address.startswith("file:"):
        try:
            parts = urlsplit(address)
        except ValueError:  # a tag may hold any text
            return None
        address = unquote(parts.path) if not parts.netloc else ""
    path = Path(address)
    return path if path.is_absolute() and ".." not in path.parts else None
