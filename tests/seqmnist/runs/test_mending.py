import json
from collections.abc import Mapping
from pathlib import Path

import mlflow
import mlflow.data
import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, LoggedModel, Metric
from mlflow.models import Model

from accord.settings import Tracking
from accord.tracking.runs import RunRequest, stage_run
from accord.tracking.store import open_store
from seqmnist.paths import PROCESSED, RAW
from seqmnist.project import PROJECT
from seqmnist.runs.mending import mend
from tests.accord.tracking.flavour import Flavour

pytestmark = pytest.mark.usefixtures("project")
FOLDER = Path("a folder")
EARLIER_NOTE = """\
**Compare the cells:** tick the newest `train@rnn` and `train@lstm`, press *Compare*.

A click on a metric's name there draws its curve for both. The other runs are those of the stages `download`,
`preprocess` and `evaluate`; all runs of one configuration share the tag `config.sha256`.
"""


def train(tracking: Tracking, epochs: Mapping[str, list[float]], selected: int, stage: str = "train") -> LoggedModel:
    """Log a run and its model as earlier versions did: MLflow gives the model what the run has at step 0."""
    count = len(next(iter(epochs.values())))
    with stage_run(tracking, RunRequest(stage, "train@rnn")) as run:
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


def test_a_model_gets_the_figures_of_its_selected_epoch_and_loses_all_others(tracking: Tracking) -> None:
    first, second = train(tracking, CURVES, selected=1), train(tracking, CURVES, selected=0)
    sweeps = tracking.model_copy(update={"experiment": f"{tracking.experiment}-sweeps"})
    trial = train(sweeps, CURVES, selected=2)
    assert ("val.accuracy", 0.5, 0) in figures(first)
    before = points(first)

    assert mend(tracking) == ["MLflow: corrected the metrics of logged models: 3"]

    assert figures(first) == {("val.accuracy", 0.9, 1), ("test.loss", 0.3, 1), ("selected.epoch", 1, 0)}
    assert figures(second) == {("val.accuracy", 0.5, 0), ("test.loss", 0.4, 0), ("selected.epoch", 0, 0)}
    assert figures(trial) == {("val.accuracy", 0.7, 2), ("test.loss", 0.2, 2), ("selected.epoch", 2, 0)}
    assert points(first) == before
    assert mend(tracking) == []


def test_what_is_not_of_the_training_stays(tracking: Tracking) -> None:
    model = train(tracking, CURVES, selected=1)
    foreign = train(tracking, CURVES, selected=1, stage="another project's")
    deleted = train(tracking, CURVES, selected=1)
    MlflowClient().delete_run(deleted.source_run_id)
    mlflow.log_metric("robustness", 0.8, run_id=model.source_run_id, model_id=model.model_id)
    before = figures(foreign), figures(deleted)

    assert len(mend(tracking)) == 1

    assert ("robustness", 0.8, 0) in figures(model)
    assert (figures(foreign), figures(deleted)) == before
    assert mend(tracking) == []


def test_the_clock_may_have_been_set_back(tracking: Tracking) -> None:
    model = train(tracking, CURVES, selected=1)
    late = Metric("val.accuracy", 0.5, 2**42, 0, model_id=model.model_id)
    MlflowClient().log_batch(model.source_run_id, metrics=[late])

    mend(tracking)

    [own] = [one for one in MlflowClient().get_logged_model(model.model_id).metrics if one.key == "val.accuracy"]
    assert own.value == 0.9


def test_at_a_server_the_right_figures_are_the_newest(remote: Tracking) -> None:
    model, worse = train(remote, CURVES, selected=1), train(remote, {"val.accuracy": [0.6, 0.65]}, selected=1)
    before = points(model)

    (told,) = mend(remote)
    assert told.startswith("MLflow: corrected the metrics of logged models: 2; its table shows the")

    assert figures(model) >= {("val.accuracy", 0.9, 1), ("test.loss", 0.3, 1)}
    by_accuracy = [{"field_name": "metrics.val.accuracy", "ascending": False}]
    found = MlflowClient().search_logged_models([model.experiment_id], order_by=by_accuracy)
    assert [one.model_id for one in found] == [model.model_id, worse.model_id]
    assert points(model) == before
    assert mend(remote) == []


def test_data_sets_of_earlier_versions_lead_to_their_files(tracking: Tracking, project: Path) -> None:
    old = [
        Dataset(name, digit * 32, "sha256", json.dumps({"sha256": digit * 64}), profile="{}")
        for name, digit in (("tiny", "0"), ("tiny.test", "1"))
    ]
    with stage_run(tracking, RunRequest("preprocess", "preprocess")) as run:
        MlflowClient().log_inputs(run.id, [DatasetInput(one) for one in old])
        run.dataset("tiny", "2" * 64, FOLDER, {}, "raw")
    for folder in (RAW, PROCESSED, FOLDER):
        folder.mkdir(parents=True, exist_ok=True)
    assert mend(tracking) == ["MLflow: corrected the sources of data sets: 2"]

    inputs = MlflowClient().get_run(run.id).inputs.dataset_inputs
    loaded = {one.dataset.digest[0]: mlflow.data.get_source(one).load() for one in inputs}
    assert {digit: Path(folder) for digit, folder in loaded.items()} == {
        "0": project / RAW,
        "1": project / PROCESSED,
        "2": project / FOLDER,
    }
    assert {one.dataset.digest[0]: json.loads(one.dataset.source)["sha256"][0] for one in inputs} == {
        digit: digit for digit in "012"
    }
    assert mend(tracking) == []


@pytest.mark.parametrize(("note", "renewed"), [(EARLIER_NOTE, True), ("What my group agreed on.", False)])
def test_a_description_of_an_earlier_version_is_renewed(tracking: Tracking, note: str, renewed: bool) -> None:
    client, experiment = open_store(tracking)
    client.set_experiment_tag(experiment, "mlflow.note.content", note)

    mend(tracking)

    expected = PROJECT.description if renewed else note
    assert client.get_experiment(experiment).tags["mlflow.note.content"] == expected
