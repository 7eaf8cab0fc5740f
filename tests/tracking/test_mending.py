import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import mlflow.data
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, LoggedModel, Metric
from mlflow.models import Model

from seqmnist.config import Config
from seqmnist.data.splits import NAMES, Split, save, summary
from seqmnist.paths import PROCESSED, RAW
from seqmnist.tracking.mending import mend
from seqmnist.tracking.runs import stage_run

pytestmark = pytest.mark.usefixtures("project")


class Flavour:
    """Saves nothing but the description of a model."""

    @staticmethod
    def save_model(path: str, mlflow_model: Model, **_: Any) -> None:
        Path(path).mkdir()
        mlflow_model.add_flavor("none")
        mlflow_model.save(str(Path(path, "MLmodel")))


def train(config: Config, epochs: Mapping[str, list[float]], selected: int, stage: str = "train") -> LoggedModel:
    """Log a run and its model as earlier versions did: MLflow gives the model what the run has at step 0."""
    count = len(next(iter(epochs.values())))
    with stage_run(config, stage, "train@rnn") as run:
        for step in range(count):
            run.metrics({name: values[step] for name, values in epochs.items()}, step=step)
        run.metrics({"selected.epoch": selected, "last.epoch": count - 1})
        client = MlflowClient()
        experiment = client.get_run(run.id).info.experiment_id
        made = client.create_logged_model(experiment, "model", run.id)
        Model.log(artifact_path=None, flavor=Flavour, model_id=made.model_id, run_id=run.id)
    return client.get_logged_model(made.model_id)


def figures(model: LoggedModel) -> set[tuple[str, float, int]]:
    metrics = MlflowClient().get_logged_model(model.model_id).metrics
    assert len({(one.key, one.step) for one in metrics}) == len(metrics)
    return {(one.key, one.value, one.step) for one in metrics}


def points(model: LoggedModel) -> dict[str, list[tuple[int, float]]]:
    client = MlflowClient()
    names = client.get_run(model.source_run_id).data.metrics
    histories = {name: client.get_metric_history(model.source_run_id, name) for name in names}
    return {name: sorted((one.step, one.value) for one in history) for name, history in histories.items()}


CURVES = {"val.accuracy": [0.5, 0.9, 0.7], "test.loss": [0.4, 0.3, 0.2]}


def test_a_model_gets_the_figures_of_its_selected_epoch_and_loses_all_others(config: Config) -> None:
    first, second = train(config, CURVES, selected=1), train(config, CURVES, selected=0)
    sweeps = config.tracking.model_copy(update={"experiment": f"{config.tracking.experiment}-sweeps"})
    trial = train(config.model_copy(update={"tracking": sweeps}), CURVES, selected=2)
    assert ("val.accuracy", 0.5, 0) in figures(first)
    before = points(first)

    assert mend(config.tracking) == ["MLflow: corrected the metrics of logged models: 3"]

    assert figures(first) == {("val.accuracy", 0.9, 1), ("test.loss", 0.3, 1), ("selected.epoch", 1, 0)}
    assert figures(second) == {("val.accuracy", 0.5, 0), ("test.loss", 0.4, 0), ("selected.epoch", 0, 0)}
    assert figures(trial) == {("val.accuracy", 0.7, 2), ("test.loss", 0.2, 2), ("selected.epoch", 2, 0)}
    assert points(first) == before
    assert mend(config.tracking) == []


def test_what_is_not_of_the_training_stays(config: Config) -> None:
    model = train(config, CURVES, selected=1)
    foreign = train(config, CURVES, selected=1, stage="another project's")
    deleted = train(config, CURVES, selected=1)
    MlflowClient().delete_run(deleted.source_run_id)
    mlflow.log_metric("robustness", 0.8, run_id=model.source_run_id, model_id=model.model_id)
    before = figures(foreign), figures(deleted)

    assert len(mend(config.tracking)) == 1

    assert ("robustness", 0.8, 0) in figures(model)
    assert (figures(foreign), figures(deleted)) == before
    assert mend(config.tracking) == []


def test_the_clock_may_have_been_set_back(config: Config) -> None:
    model = train(config, CURVES, selected=1)
    late = Metric("val.accuracy", 0.5, 2**42, 0, model_id=model.model_id)
    MlflowClient().log_batch(model.source_run_id, metrics=[late])

    mend(config.tracking)

    [own] = [one for one in MlflowClient().get_logged_model(model.model_id).metrics if one.key == "val.accuracy"]
    assert own.value == 0.9


def test_at_a_server_the_right_figures_are_the_newest(remote: Config) -> None:
    model, worse = train(remote, CURVES, selected=1), train(remote, {"val.accuracy": [0.6, 0.65]}, selected=1)
    before = points(model)

    (told,) = mend(remote.tracking)
    assert told.startswith("MLflow: corrected the metrics of logged models: 2; its table shows the")

    assert figures(model) >= {("val.accuracy", 0.9, 1), ("test.loss", 0.3, 1)}
    by_accuracy = [{"field_name": "metrics.val.accuracy", "ascending": False}]
    found = MlflowClient().search_logged_models([model.experiment_id], order_by=by_accuracy)
    assert [one.model_id for one in found] == [model.model_id, worse.model_id]
    assert points(model) == before
    assert mend(remote.tracking) == []


def test_data_sets_lead_to_their_files_also_those_of_earlier_versions(config: Config, project: Path) -> None:
    parts = {name: Split(np.full((2, 28, 28), i, np.uint8), np.array([i, 9], np.uint8)) for i, name in enumerate(NAMES)}
    save(PROCESSED, parts)
    (RAW).mkdir(parents=True, exist_ok=True)
    (RAW / "file").write_text("raw")
    described = summary(parts)
    old = [
        Dataset("tiny", "0" * 32, "sha256", json.dumps({"sha256": "0" * 64}), profile="{}"),
        Dataset("tiny.test", "1" * 32, "sha256", json.dumps({"sha256": "1" * 64}), profile="{}"),
    ]

    with stage_run(config, "preprocess", "preprocess") as run:
        MlflowClient().log_inputs(run.id, [DatasetInput(one) for one in old])
        run.raw_data(config.data)
        run.splits(config.data, described)
    assert mend(config.tracking) == ["MLflow: corrected the sources of data sets: 2"]

    inputs = MlflowClient().get_run(run.id).inputs.dataset_inputs
    loaded = {(one.dataset.name, one.dataset.digest): mlflow.data.get_source(one).load() for one in inputs}
    assert len(loaded) == 6
    for (name, _), folder in loaded.items():
        assert Path(folder) == project / (PROCESSED if "." in name else RAW)
    [test] = [one for one in inputs if one.dataset.digest == described["test"]["sha256"][:32]]
    assert json.loads(test.dataset.source)["sha256"] == described["test"]["sha256"]
    assert mend(config.tracking) == []
