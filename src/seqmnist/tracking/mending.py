"""Mend what earlier versions logged: the figures of models, and the sources of data sets."""

import json
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Metric
from mlflow.exceptions import MlflowException
from mlflow.store.db.db_types import DATABASE_ENGINES
from sqlalchemy import Engine, MetaData, Table, bindparam, create_engine, select

from seqmnist.metric_names import EPOCH, LAST, SELECTED
from seqmnist.settings import Tracking
from seqmnist.tracking.away import telling
from seqmnist.tracking.datasets import source
from seqmnist.tracking.runs import find_run, whole_transactions
from seqmnist.tracking.store import open_store

_EPOCH = f"{SELECTED}{EPOCH}"  # the metric that says which epoch a model's weights are of
_MAX_EXPERIMENTS = 10_000


class _Figures(NamedTuple):
    """Points of a model's metrics that are of other weights, and those that it lacks."""

    wrong: list[Metric]
    missing: list[Metric]


def mend(tracking: Tracking, data_folder: Callable[[str], Path]) -> list[str]:
    """Mend all models and data sets of a store; a second time there is nothing to mend.

    Args:
        tracking: Configuration of the store.
        data_folder: Function that returns the folder with the files of a data set, by the data set's name.

    Returns:
        A line for each kind of thing that was mended.

    Raises:
        UserError: The store can't be used.
    """
    client, _ = open_store(tracking)
    # MLflow only adds metrics, and changes no data set: the rest needs the database, which a server does not give.
    is_database = urlsplit(client.tracking_uri).scheme.partition("+")[0] in DATABASE_ENGINES
    engine = create_engine(client.tracking_uri) if is_database else None
    lines = []
    with telling(client.tracking_uri):
        if models := _mend_models(client, engine):
            rest = "" if engine else "; its table shows the first epoch's until `seqmnist sync` is given the database"
            lines.append(f"MLflow: corrected the metrics of logged models: {models}{rest}")
        if engine and (data_sets := _mend_data_sets(engine, data_folder)):
            lines.append(f"MLflow: corrected the sources of data sets: {data_sets}")
    return lines


def _mend_models(client: MlflowClient, engine: Engine | None) -> int:
    """Return how many models had the figures of another epoch: MLflow 3.17 gave them those of the first."""
    mended, wrong = set(), []
    for model in _trained_models(client):
        figures = _compare(client, model, can_remove=engine is not None)
        if figures.missing and _log(client, model, figures.missing):
            mended.add(model.model_id)
        wrong += figures.wrong
    if engine and wrong:
        _remove(engine, wrong)
        mended |= {point.model_id for point in wrong}
    return len(mended)


def _trained_models(client: MlflowClient) -> Iterator[LoggedModel]:
    """Yield all models that have a selected epoch."""
    experiments = [one.experiment_id for one in client.search_experiments(max_results=_MAX_EXPERIMENTS)]
    token = None
    while True:
        page = client.search_logged_models(experiments, f"metrics.`{_EPOCH}` >= 0", page_token=token)
        yield from page
        if not (token := page.token):
            return


def _compare(client: MlflowClient, model: LoggedModel, *, can_remove: bool) -> _Figures:
    """Compare a model's figures with those that its run has of the selected epoch.

    Where nothing can be removed, only figures that the model lacks are looked for.
    """
    selected = max(int(one.value) for one in model.metrics if one.key == _EPOCH)
    by_name: dict[str, list[Metric]] = {}
    for point in model.metrics:
        by_name.setdefault(point.key, []).append(point)
    last = list(chain.from_iterable(points for name, points in by_name.items() if name.startswith(LAST)))
    last = last if can_remove else []
    steps = {name: {point.step for point in points} for name, points in by_name.items()}
    names = [name for name in steps if steps[name] != {selected} and (can_remove or selected not in steps[name])]
    names = [name for name in names if not name.startswith((SELECTED, LAST))]
    run = find_run(client, model.source_run_id) if names or last else None
    if run is None or run.data.tags.get("stage") != "train":
        return _Figures([], [])
    figures = _Figures(last, [])
    for name in names:
        history = client.get_metric_history(model.source_run_id, name)
        if not (right := [point for point in history if point.step == selected]):
            continue  # no metric of the training's
        own = by_name[name]
        figures.wrong.extend(point for point in own if point.step != selected)
        if all(point.step != selected for point in own):
            time = max(point.timestamp for point in (*own, *right))  # MLflow takes the newest for the value
            figures.missing.append(Metric(name, right[-1].value, time, selected, model_id=model.model_id))
    return figures


@whole_transactions()
def _log(client: MlflowClient, model: LoggedModel, points: list[Metric]) -> bool:
    """Log metrics of a model; return whether the user may, where it is another's."""
    try:
        client.log_batch(model.source_run_id, metrics=points)
    except MlflowException as error:
        if error.error_code != "PERMISSION_DENIED":
            raise
        return False
    return True


@whole_transactions()
def _remove(engine: Engine, points: list[Metric]) -> None:
    table = Table("logged_model_metrics", MetaData(), autoload_with=engine)
    is_point = (
        (table.c.model_id == bindparam("of"))
        & (table.c.metric_name == bindparam("name"))
        & (table.c.metric_step == bindparam("at"))
    )
    rows = [{"of": point.model_id, "name": point.key, "at": point.step} for point in points]
    with engine.begin() as connection:
        connection.execute(table.delete().where(is_point), rows)


@whole_transactions()
def _mend_data_sets(engine: Engine, data_folder: Callable[[str], Path]) -> int:
    """Return how many data sets had a source of a type that MLflow does not know."""
    table = Table("datasets", MetaData(), autoload_with=engine)
    with engine.begin() as connection:
        rows = connection.execute(select(table).where(table.c.dataset_source_type == "sha256")).mappings().all()
        for row in rows:
            kind, leads = source(data_folder(row["name"]), json.loads(row["dataset_source"])["sha256"])
            mended = {"dataset_source_type": kind, "dataset_source": leads}
            connection.execute(table.update().where(table.c.dataset_uuid == row["dataset_uuid"]).values(mended))
    return len(rows)
