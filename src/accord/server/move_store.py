"""The command `move-store`: copy a local store, mlflow.db and mlartifacts/, to a server's PostgreSQL and artifacts.

MLflow has no command for this. pgloader creates columns of other types, and ignores artifacts and their addresses.
"""

import sqlite3
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow.db import upgrade
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from sqlalchemy import JSON, Boolean, Connection, Engine, Integer, MetaData, Table, create_engine, func, select, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from accord.errors import UserError
from accord.tracking.connection import reason, shown
from accord.tracking.relocation import ADDRESSES, follow

_VERSION = "alembic_version"  # MLflow's table with the version of its schema
_FILLED = {_VERSION, "workspaces"}  # tables that have rows in a new database
_PROXY = "mlflow-artifacts:/"


def move_store(source: Path, target: str, destination: str) -> None:
    """Copy runs, models and artifacts, count them on both sides, and print the counts.

    The source is unchanged, except that its addresses are corrected if it was moved. All rows are copied in one
    transaction, after all files. So after a kill the same command starts again.

    Args:
        source: SQLite database to copy.
        target: Address postgresql://USER@HOST/DATABASE of a database without runs and models.
        destination: Value of the server's option --artifacts-destination, an absolute folder or s3://BUCKET/FOLDER.

    Raises:
        UserError: One of them can't be used, or the target has experiments, runs or models.
    """
    if not target.startswith("postgresql://"):
        raise UserError(f"move-store: {shown(target)} is no postgresql://USER@HOST/DATABASE")
    if not destination.startswith(("/", "s3://")):  # the server, started in another folder, would not find others
        raise UserError(f"move-store: ARTIFACTS must be an absolute folder or s3://BUCKET/FOLDER, not {destination}")
    if find_spec("psycopg") is None:
        raise UserError("move-store: psycopg is missing: use an environment with accord[server]")
    if not source.is_file():
        raise UserError(f"move-store: {source} is no file: --source names the database to move")
    try:
        address, engine = shown(target), create_engine(target)
    except (ArgumentError, ValueError):  # e.g. a port that is no number; the error's text may contain the password
        form = "postgresql://USER:PASSWORD@HOST:PORT/NAME: write special characters of the password as %XX"
        raise UserError(f"move-store: DATABASE can't be read as {form}") from None
    try:
        engine.connect().close()  # fail at once: MLflow would retry for two minutes
        upgrade.main([target], standalone_mode=False)
        _move(source.resolve(), engine, get_artifact_repository(destination))
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise UserError(f"move-store: {source} to {address}: {reason(error)}") from None


def _reader(source: Path) -> Engine:
    """Return a read-only engine for an SQLite file."""
    # NullPool: a closed connection really closes the file.
    connect = partial(sqlite3.connect, f"{source.as_uri()}?mode=ro", uri=True)
    return create_engine("sqlite://", creator=connect, poolclass=NullPool)


def _move(source: Path, target: Engine, destination: ArtifactRepository) -> None:
    tables, new_tables = MetaData(), MetaData()
    with _reader(source).connect() as old, target.begin() as new:
        tables.reflect(old)
        new_tables.reflect(new)
        _check_versions(old, new, tables)
        follow(source)
        shared = [table for table in new_tables.sorted_tables if table.name in tables.tables]
        _lock_empty(new, shared)
        places = _artifact_places(old, tables)
        files = sum(_copy_files(address, place, destination) for address, place in places.items())
        for table in reversed(shared):
            new.execute(table.delete())
        for table in shared:
            _copy_rows(old, new, tables.tables[table.name], table, places)
            _set_sequences(new, table)
        counts = _counted(old, new, tables)
    for name, count in counts.items():
        print(f"{name}: {count} rows, {count} moved")
    print(f"artifacts: {files} files, {files} moved")


def _check_versions(old: Connection, new: Connection, tables: MetaData) -> None:
    if _VERSION not in tables.tables:
        raise UserError("move-store: the source is no database of MLflow's")
    here, there = (one.execute(select(tables.tables[_VERSION])).scalar() for one in (old, new))
    if here != there:
        remedy = "give `mlflow db upgrade sqlite:///...` for a copy of it, and move that"
        raise UserError(f"move-store: MLflow's tables in the source are of version {here}, not {there}: {remedy}")


def _lock_empty(new: Connection, tables: list[Table]) -> None:
    """Lock the target's tables against other writers until the transaction ends; refuse a target that is in use."""
    new.execute(text("LOCK TABLE experiments, runs, registered_models IN EXCLUSIVE MODE"))
    for table in tables:
        rows = select(table).limit(1)
        if table.name == "experiments":
            rows = rows.where(table.c.experiment_id != 0)  # every store has the default experiment, 0
        if table.name not in _FILLED and new.execute(rows).first():
            what = table.name.replace("_", " ")
            raise UserError(f"move-store: the target has {what} already, perhaps deleted ones: give an empty database")


def _artifact_places(old: Connection, tables: MetaData) -> dict[str, str]:
    """Return the future path of each run's and model's artifacts below the destination, by their present address."""
    places = {}  # paths begin with the experiment's id, by which a server checks who may read them
    for name, key, folder in (("runs", "run_uuid", ""), ("logged_models", "model_id", "models/")):
        (column,) = ADDRESSES[name]
        for row in old.execute(select(tables.tables[name])).mappings():
            address = row[column]
            if urlsplit(address).scheme in {"", "file"}:  # artifacts in a bucket or at a server stay there
                places[address] = f"{row['experiment_id']}/{folder}{row[key]}/artifacts"
    return places


def _copy_files(address: str, place: str, destination: ArtifactRepository) -> int:
    """Copy the artifacts of one run or model, and return the number of files.

    Args:
        address: Present address of the artifacts.
        place: Their path below the destination.
        destination: Artifact store of the server.

    Raises:
        UserError: The destination has another number of files afterwards.
    """
    folder = Path(unquote(urlsplit(address).path))
    if not folder.is_dir():
        return 0  # a run without artifacts has no folder
    destination.log_artifacts(str(folder), place)
    count = sum(path.is_file() for path in folder.rglob("*"))
    if (there := _count_files(destination, place)) != count:
        raise UserError(f"move-store: {place} has {there} files, {folder} has {count}: empty {place}, then try again")
    return count


def _count_files(repository: ArtifactRepository, place: str) -> int:
    entries = repository.list_artifacts(place)
    return sum(_count_files(repository, one.path) if one.is_dir else 1 for one in entries)


def _copy_rows(old: Connection, new: Connection, table: Table, new_table: Table, places: dict[str, str]) -> None:
    """Copy a table's rows, and replace the addresses of artifacts by those that the server's clients use."""
    columns = [column for column in new_table.columns if column.computed is None and column.name in table.columns]
    for one in columns:
        if isinstance(one.type, JSON):
            one.type.none_as_null = True  # SQL's NULL stays NULL and does not become JSON's null
        if isinstance(one.type, Boolean):  # SQLite stores numbers, which PostgreSQL refuses in a boolean column
            table.columns[one.name].type = one.type
    wanted = select(*(table.columns[one.name] for one in columns))
    for rows in old.execution_options(yield_per=1000).execute(wanted).mappings().partitions():
        values = [dict(row) for row in rows]
        for row in values:
            for column in ADDRESSES.get(table.name, ()):
                if table.name == "experiments":
                    row[column] = f"{_PROXY}{row['experiment_id']}"
                elif row[column] in places:
                    row[column] = _PROXY + places[row[column]]
        new.execute(new_table.insert(), values)


def _set_sequences(new: Connection, table: Table) -> None:
    """Set a table's sequences, so that the next row gets a number above those of the copied rows."""
    for column in table.primary_key.columns:
        if isinstance(column.type, Integer):  # setval ignores NULL: a column without a sequence, a table without rows
            sequence = func.pg_get_serial_sequence(f'"{table.name}"', column.name)
            new.execute(select(func.setval(sequence, func.max(column))))


def _counted(old: Connection, new: Connection, tables: MetaData) -> dict[str, int]:
    """Return the number of rows of each non-empty table.

    Raises:
        UserError: A table has another number of rows in the target.
    """
    counts = {}
    for table in tables.sorted_tables:
        count = select(func.count()).select_from(table)
        before, after = (one.execute(count).scalar_one() for one in (old, new))
        if before != after:
            raise UserError(f"move-store: {after} of {before} rows of {table.name} were copied; nothing was moved")
        if before:
            counts[table.name] = before
    return counts
