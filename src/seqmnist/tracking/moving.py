"""The local MLflow store, with its artifacts, carried over to a team server's database: `seqmnist move-store`.

MLflow 3.17 has no tool for that, and pgloader knows nothing of where artifacts are.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from mlflow.store.db import utils
from mlflow.utils.file_utils import local_file_uri_to_path
from sqlalchemy.exc import SQLAlchemyError

from seqmnist import config
from seqmnist.errors import UserError
from seqmnist.tracking.away import shown
from seqmnist.tracking.remedies import reason
from seqmnist.tracking.store import sqlite_path, tracking_uri

_SERVER = "postgresql://"
_SCHEMA = "alembic_version"
_AT_ONCE = 1000  # rows
_PLACES = {  # the columns that say where artifacts are
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}

Moved = dict[str, str]  # where artifacts are, and where they will be


def move_store(database: str, artifacts: Path) -> None:
    """Copy all tables and artifacts, and print how many rows and files there were and are. What is here stays.

    Artifacts go first, then all tables in one transaction: if it is killed, the same command does it again.

    Args:
        database: of the server, without runs: postgresql://...
        artifacts: the folder that the server keeps artifacts in.

    Raises:
        UserError: the store here is no SQLite file, or the database can't be used or has runs.
    """
    uri = tracking_uri(config.load().tracking)
    path = sqlite_path(uri)
    if path is None or not path.is_file():
        raise UserError(f"tracking: {shown(uri)} is no local store that is there: unset MLFLOW_TRACKING_URI")
    if not database.startswith(_SERVER):
        raise UserError(f"{database} is no database of a server: it must begin with {_SERVER}")
    try:
        source, target = sa.create_engine(uri), sa.create_engine(database)
        _prepare(source, target)
        moved = _moved(source)
        _copy_artifacts(moved, artifacts)
        _copy_tables(source, target, moved)
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is missing: make setup-cluster, then . .venv-cluster/bin/activate") from None
    except SQLAlchemyError as error:
        raise UserError(f"{shown(database)} can't be used: {reason(error)}") from None


def _prepare(source: sa.Engine, target: sa.Engine) -> None:
    """Make the target's tables where it has none, and see that they are those of the source and have no runs."""
    if not sa.inspect(target).has_table("runs"):
        utils._initialize_tables(target)  # noqa: SLF001  (what `mlflow db upgrade` does)
    query = sa.text(f"SELECT version_num FROM {_SCHEMA}")  # noqa: S608  (a constant)
    if _value(source, query) != _value(target, query):
        raise UserError("tracking: the tables are of two versions of MLflow: give `mlflow db upgrade` for both")
    if runs := _value(target, sa.text("SELECT count(*) FROM runs")):
        raise UserError(f"{shown(str(target.url))} has {runs} runs already: only an empty database is filled")


def _value(engine: sa.Engine, query: sa.TextClause) -> Any:
    with engine.connect() as connection:
        return connection.execute(query).scalar()


def _moved(source: sa.Engine) -> Moved:
    """Where runs' and models' artifacts are, and where a server puts those of the same experiment."""
    tables, moved = _tables(source), {}
    with source.connect() as connection:
        roots = {row.experiment_id: row.artifact_location for row in connection.execute(tables["experiments"].select())}
        for name in ("runs", "logged_models"):
            for row in connection.execute(tables[name].select()):
                place, root = getattr(row, _PLACES[name][0]), roots[row.experiment_id]
                if place.startswith(f"{root}/"):
                    moved[place] = f"{_on_server(row.experiment_id)}{place.removeprefix(root)}"
    return moved


def _on_server(experiment: int) -> str:
    return f"mlflow-artifacts:/{experiment}"


def _copy_artifacts(moved: Moved, artifacts: Path) -> None:
    before = after = 0
    for place, new in moved.items():
        folder, copy = Path(local_file_uri_to_path(place)), artifacts / new.partition(":/")[2]
        if folder.is_dir():
            shutil.copytree(folder, copy, dirs_exist_ok=True)
            before, after = before + _files(folder), after + _files(copy)
    print(f"artifacts: {before:,} files here, {after:,} there", flush=True)


def _files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def _copy_tables(source: sa.Engine, target: sa.Engine, moved: Moved) -> None:
    here = _tables(source)
    there = [table for table in _metadata(target).sorted_tables if table.name in here and table.name != _SCHEMA]
    with source.connect() as read, target.begin() as write:
        for table in reversed(there):  # an empty store has a default experiment, as the one here
            write.execute(table.delete())
        for table in there:
            columns = [here[table.name].c[column.name] for column in table.c if not column.computed]
            for rows in read.execute(sa.select(*columns)).mappings().partitions(_AT_ONCE):
                write.execute(table.insert(), [_placed(table.name, row, moved) for row in rows])
            _continue_numbers(write, table)
        counts = [(table.name, _rows(read, here[table.name]), _rows(write, table)) for table in there]
        for name, before, after in counts:
            if before or after:
                print(f"{name}: {before:,} rows here, {after:,} there", flush=True)
        if any(before != after for _, before, after in counts):
            raise UserError("the numbers of rows differ: nothing was moved")


def _placed(table: str, row: Mapping[Any, Any], moved: Moved) -> dict[str, Any]:
    """A row with the places on the server."""
    values = dict(row)
    if table == "experiments":
        values["artifact_location"] = _on_server(values["experiment_id"])
    for column in _PLACES.get(table, ()):
        parts = (values[column] or "").split("/")
        for length in range(len(parts), 0, -1):  # a version's source may lie within a run's artifacts
            if new := moved.get("/".join(parts[:length])):
                values[column] = "/".join([new, *parts[length:]])
                break
    return values


def _continue_numbers(write: sa.Connection, table: sa.Table) -> None:
    """Have the database number new rows from where the copied ones end."""
    for column in table.primary_key:
        sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
        if isinstance(column.type, sa.Integer) and write.execute(sa.select(sequence)).scalar():
            write.execute(sa.select(sa.func.setval(sequence, sa.select(sa.func.max(column)).scalar_subquery())))


def _rows(connection: sa.Connection, table: sa.Table) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def _tables(engine: sa.Engine) -> Mapping[str, sa.Table]:
    return _metadata(engine).tables


def _metadata(engine: sa.Engine) -> sa.MetaData:
    metadata = sa.MetaData()
    metadata.reflect(engine)
    return metadata
