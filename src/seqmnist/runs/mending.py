"""Mend what earlier versions logged: the figures of models, the sources of data sets, the experiment's description."""

import hashlib
import json
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Metric
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from sqlalchemy import Engine, MetaData, Table, create_engine, select

from accord.metric_names import EPOCH, LAST, SELECTED
from accord.project import find_project
from accord.settings import Tracking
from accord.tracking.connection import passing_over, user_errors
from accord.tracking.runs import dataset_source, find_run, whole_transactions
from accord.tracking.store import open_store
from seqmnist.runs import stage_runs

_EPOCH = f"{SELECTED}{EPOCH}"  # the metric that says which epoch a model's weights are of
_MAX_EXPERIMENTS = 10_000
# What earlier versions described the experiment by, as SHA-256: a description of anyone else's stays.
_DESCRIPTIONS = (
    "8533156c0c91c88c26d54760ba40ea0377125293f73bd3c4480ca3cd542d395b",
    "815d99b26c75148e982a1e2aa0a82f4d435c86f4699ae59ecbe414862c26b3b2",
    "dfc2442e09e515c4288ed1686d94ae1abeb4462dbdc57a0a0f35a853a943dfb6",
)


def mend(tracking: Tracking) -> list[str]:
    """Mend all models and data sets of a store; a second time there is nothing to mend.

    Returns:
        A line for each kind of thing that was mended.

    Raises:
        UserError: The store can't be used.
    """
    client, experiment = open_store(tracking)
    # MLflow only adds metrics, and changes no data set: the rest needs the database, which a server does not give.
    is_database = urlsplit(client.tracking_uri).scheme.partition("+")[0] in DATABASE_ENGINES
    engine = create_engine(client.tracking_uri) if is_database else None
    lines = []
    with user_errors(client.tracking_uri):
        note = client.get_experiment(experiment).tags.get(MLFLOW_RUN_NOTE, "")
        if hashlib.sha256(note.encode()).hexdigest() in _DESCRIPTIONS:
            client.set_experiment_tag(experiment, MLFLOW_RUN_NOTE, find_project().description)
        if models := _mend_models(client, engine):
            rest = "" if engine else "; its table shows the first epoch's until `seqmnist sync` is given the database"
            lines.append(f"MLflow: corrected the metrics of logged models: {models}{rest}")
        if engine and (count := _mend_data_sets(engine)):
            lines.append(f"MLflow: corrected the sources of data sets: {count}")
    return lines


def _mend_models(client: MlflowClient, engine: Engine | None) -> int:
    """Return how many models had the figures of another epoch: MLflow 3.17 gave them those of the first."""
    mended, wrong = set(), []
    experiments = [one.experiment_id for one in client.search_experiments(max_results=_MAX_EXPERIMENTS)]
    mlflow.set_tracking_uri(client.tracking_uri)  # the client's own search gives pages
    for model in mlflow.search_logged_models(experiments, f"metrics.`{_EPOCH}` >= 0", output_format="list"):
        others, missing = _compare(client, model, can_remove=engine is not None)
        if missing:
            with passing_over("PERMISSION_DENIED"), whole_transactions():  # the model may be another user's
                client.log_batch(model.source_run_id, metrics=missing)
                mended.add(model.model_id)
        wrong += others
    if engine and wrong:
        table = Table("logged_model_metrics", MetaData(), autoload_with=engine)
        with whole_transactions(), engine.begin() as connection:
            for point in wrong:
                own = table.delete().where(table.c.model_id == point.model_id)
                connection.execute(own.where(table.c.metric_name == point.key, table.c.metric_step == point.step))
                mended.add(point.model_id)
    return len(mended)


def _compare(client: MlflowClient, model: LoggedModel, *, can_remove: bool) -> tuple[list[Metric], list[Metric]]:
    """Return points of a model's metrics that are of other weights than its own, and those that it lacks.

    Its own are in its run at the selected epoch. Where nothing can be removed, only figures that the model lacks are
    looked for.
    """
    selected = max(int(one.value) for one in model.metrics if one.key == _EPOCH)
    known = {one.key for one in model.metrics if one.step == selected}
    names = {one.key for one in model.metrics if one.step != selected and not one.key.startswith((SELECTED, LAST))}
    wrong, missing = [one for one in model.metrics if one.key.startswith(LAST)], []
    if not can_remove:
        wrong, names = [], names - known
    run = find_run(client, model.source_run_id) if names or wrong else None
    if run is None or run.data.tags.get("stage") != "train":
        return [], []
    for name in names:
        history = client.get_metric_history(model.source_run_id, name)
        if not (right := [point for point in history if point.step == selected]):
            continue  # no metric of the training's
        own = [point for point in model.metrics if point.key == name]
        wrong += [point for point in own if point.step != selected]
        if name not in known:
            time = max(point.timestamp for point in (*own, *right))  # MLflow takes the newest for the value
            missing.append(Metric(name, right[-1].value, time, selected, model_id=model.model_id))
    return wrong, missing


def _mend_data_sets(engine: Engine) -> int:
    """Return how many data sets had a source of a type that MLflow does not know."""
    table = Table("datasets", MetaData(), autoload_with=engine)
    with whole_transactions(), engine.begin() as connection:
        rows = connection.execute(select(table).where(table.c.dataset_source_type == "sha256")).mappings().all()
        for row in rows:
            kind, leads = dataset_source(stage_runs.folder_of(row["name"]), json.loads(row["dataset_source"])["sha256"])
            mended = {"dataset_source_type": kind, "dataset_source": leads}
            connection.execute(table.update().where(table.c.dataset_uuid == row["dataset_uuid"]).values(mended))
    return len(rows)
