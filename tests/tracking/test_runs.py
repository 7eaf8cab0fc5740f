import hashlib
import json
import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as Logged

from seqmnist.cells.model import build, exported
from seqmnist.config import Config, Data
from seqmnist.data.splits import Split, summary
from seqmnist.errors import UserError
from seqmnist.process import Terminated
from seqmnist.tracking.identity import data_sha256, identity_tags
from seqmnist.tracking.runs import Run, stage_run
from seqmnist.training.runtime import start_tensorflow
from seqmnist.trainings import run_parameters

pytestmark = pytest.mark.usefixtures("project")
SPLIT = Split(np.zeros((3, 28, 28), np.uint8), np.array([1, 1, 9], np.uint8))


def logged(run: Run) -> Logged:
    return MlflowClient().get_run(run.id)


def artifacts(run: Run, folder: str | None = None) -> list[str]:
    return sorted(file.path for file in MlflowClient().list_artifacts(run.id, folder))


def test_a_run_ends_as_finished_with_its_name_and_tags(tiny_config: Config) -> None:
    with stage_run(tiny_config, "train", "train@rnn", {"cell": "rnn"}) as run:
        assert logged(run).info.status == "RUNNING"
        run.tags({"model.sha256": "0123"})

    info, tags = logged(run).info, logged(run).data.tags
    assert (info.status, info.run_name) == ("FINISHED", "train@rnn")
    assert info.end_time >= info.start_time
    assert (tags["stage"], tags["cell"], tags["model.sha256"]) == ("train", "rnn", "0123")
    assert "error" not in tags


def test_the_composed_configuration_is_kept_with_every_run(tiny_config: Config, project: Path) -> None:
    with stage_run(tiny_config, "download", "download") as run:
        pass

    folder = Path(url2pathname(urlsplit(logged(run).info.artifact_uri).path))
    assert (folder / "params.yaml").read_bytes() == (project / "params.yaml").read_bytes()
    assert folder.is_relative_to(project / "mlartifacts")


def test_nested_parameters_get_dotted_names_and_plain_texts(tiny_config: Config) -> None:
    values = {"cell": {"type": "rnn", "units": 4}, "train": {"clip_norm": None, "epsilon": 1e-8}, "seeds": [1, 2]}

    with stage_run(tiny_config, "train", "train@rnn") as run:
        run.params(values)

    assert logged(run).data.params == {
        "cell.type": "rnn",
        "cell.units": "4",
        "train.clip_norm": "null",
        "train.epsilon": "1e-08",
        "seeds": "[1, 2]",
    }


def test_trainings_of_both_cells_have_the_same_parameters(tiny_config: Config) -> None:
    parameters = []
    for cell in ("rnn", "lstm"):
        with stage_run(tiny_config, "train", f"train@{cell}") as run:
            run.params(run_parameters(tiny_config, cell, 42))
        parameters.append(logged(run).data.params)

    rnn, lstm = parameters
    assert {name for name in rnn if rnn[name] != lstm.get(name)} == {"cell.type"}
    assert list(rnn) == list(lstm)


def test_metrics_are_kept_epoch_by_epoch(tiny_config: Config) -> None:
    with stage_run(tiny_config, "train", "train@rnn") as run:
        for epoch, loss in enumerate([0.3, 0.1, 0.2]):
            run.metrics({"val.loss": loss, "val.accuracy": 1 - loss}, step=epoch)
        run.metrics({"selected.epoch": 1})

    losses = MlflowClient().get_metric_history(run.id, "val.loss")
    assert [(one.step, one.value) for one in losses] == [(0, 0.3), (1, 0.1), (2, 0.2)]
    assert logged(run).data.metrics == {"val.loss": 0.2, "val.accuracy": 0.8, "selected.epoch": 1}


def test_a_resumed_run_goes_on_without_metrics_twice(tiny_config: Config) -> None:
    with stage_run(tiny_config, "train", "train@rnn") as run:
        run.metrics({"val.loss": 0.5, "val.accuracy": 0.1}, step=0)
        run.metrics({"val.loss": 0.4}, step=1)
    before = logged(run).info

    with stage_run(tiny_config, "train", "train@rnn", {"cell": "rnn"}, resume=run.id) as resumed:
        assert logged(run).info.status == "RUNNING"
        for step in range(3):
            resumed.metrics({"val.loss": 0.5 - step / 10, "val.accuracy": 0.1}, step=step)
        resumed.metrics({"selected.epoch": 2})
    with stage_run(tiny_config, "train", "train@rnn", resume=run.id) as again:
        again.metrics({"selected.epoch": 2})

    assert resumed.id == again.id == run.id
    assert (logged(run).info.status, logged(run).info.start_time) == ("FINISHED", before.start_time)
    assert logged(run).data.tags["cell"] == "rnn"
    history = {name: MlflowClient().get_metric_history(run.id, name) for name in logged(run).data.metrics}
    assert {name: [(one.step, one.value) for one in points] for name, points in history.items()} == {
        "val.loss": [(0, 0.5), (1, 0.4), (2, 0.3)],
        "val.accuracy": [(0, 0.1), (1, 0.1), (2, 0.1)],
        "selected.epoch": [(0, 2)],
    }


def test_a_resumed_run_loses_its_earlier_error(tiny_config: Config) -> None:
    with pytest.raises(UserError), stage_run(tiny_config, "train", "train@rnn") as run:
        raise UserError("disk full")

    with stage_run(tiny_config, "train", "train@rnn", resume=run.id):
        pass

    assert logged(run).info.status == "FINISHED"
    assert "error" not in logged(run).data.tags


@pytest.mark.parametrize("is_deleted", [True, False])
def test_a_run_that_is_gone_is_replaced_by_a_new_one(tiny_config: Config, is_deleted: bool) -> None:
    with stage_run(tiny_config, "train", "train@rnn") as run:
        pass
    if is_deleted:
        MlflowClient().delete_run(run.id)

    with stage_run(tiny_config, "train", "train@rnn", resume=run.id if is_deleted else "0" * 32) as other:
        pass

    assert other.id != run.id
    assert logged(other).info.status == "FINISHED"


def test_files_and_folders_become_artifacts(tiny_config: Config, tmp_path: Path) -> None:
    (tmp_path / "figures" / "inner").mkdir(parents=True)
    for name in ("metrics.json", "figures/a.png", "figures/inner/b.png"):
        (tmp_path / name).write_text(name)

    with stage_run(tiny_config, "evaluate", "evaluate") as run:
        run.artifact(tmp_path / "metrics.json")
        run.artifact(tmp_path / "metrics.json", "tables")
        run.artifact(tmp_path / "figures")

    assert artifacts(run) == ["figures", "metrics.json", "params.yaml", "tables"]
    assert artifacts(run, "tables") == ["tables/metrics.json"]
    assert artifacts(run, "figures") == ["figures/a.png", "figures/inner"]
    assert artifacts(run, "figures/inner") == ["figures/inner/b.png"]


def test_splits_are_data_sets_named_by_their_content(tiny_config: Config) -> None:
    described = summary({"train": SPLIT, "validation": SPLIT, "test": SPLIT})

    with stage_run(tiny_config, "preprocess", "preprocess") as run:
        run.splits(tiny_config.data, described)

    inputs = {one.dataset.name: one for one in logged(run).inputs.dataset_inputs}
    contexts = {name: {tag.key: tag.value for tag in one.tags} for name, one in inputs.items()}
    assert contexts == {
        "tiny.train": {"mlflow.data.context": "training"},
        "tiny.validation": {"mlflow.data.context": "validation"},
        "tiny.test": {"mlflow.data.context": "testing"},
    }
    dataset = inputs["tiny.test"].dataset
    assert SPLIT.digest().startswith(dataset.digest)
    assert json.loads(dataset.source) == {"uri": "data/processed", "sha256": SPLIT.digest()}
    assert json.loads(dataset.profile) == described["test"]


def test_the_raw_files_are_one_data_set(tiny_config: Config) -> None:
    with stage_run(tiny_config, "download", "download") as run:
        run.raw_data(tiny_config.data)

    [one] = logged(run).inputs.dataset_inputs
    assert one.dataset.name == "tiny"
    assert json.loads(one.dataset.source) == {"uri": "data/raw", "sha256": logged(run).data.tags["data.sha256"]}
    assert json.loads(one.dataset.profile) == {file.name: file.sha256 for file in tiny_config.data.files.all()}


def change_a_parameter(run: Run) -> None:
    run.params({"a": 1})
    run.params({"a": 2})


def test_a_run_that_mlflow_itself_refuses_is_failed_and_told_in_one_line(tiny_config: Config) -> None:
    with pytest.raises(UserError, match=r"\Atracking: sqlite:///.+\Z"), stage_run(tiny_config, "train", "train") as run:
        change_a_parameter(run)

    ended = logged(run)
    assert ended.info.status == "FAILED"
    assert "a" in ended.data.tags["error"]


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (UserError("the file\n  is broken"), "FAILED", "the file is broken"),
        (ValueError(), "FAILED", "ValueError"),
        (SystemExit(3), "FAILED", "3"),
        (KeyboardInterrupt(), "KILLED", None),
        (Terminated(), "KILLED", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_a_run_that_ends_early_tells_how_and_lets_the_exception_through(
    tiny_config: Config, error: BaseException, status: str, told: str | None
) -> None:
    runs: list[Run] = []

    with pytest.raises(type(error)) as caught, stage_run(tiny_config, "train", "train@rnn") as run:  # noqa: PT012
        runs.append(run)
        run.metrics({"val.loss": 0.5}, step=0)
        raise error

    assert caught.value is error
    assert logged(runs[0]).info.status == status
    assert logged(runs[0]).data.tags.get("error") == told
    assert logged(runs[0]).data.metrics == {"val.loss": 0.5}


def test_runs_follow_each_other_after_an_error(tiny_config: Config) -> None:
    with pytest.raises(ZeroDivisionError), stage_run(tiny_config, "train", "first"):
        _ = 1 / 0

    with stage_run(tiny_config, "train", "second") as run:
        pass

    assert logged(run).info.status == "FINISHED"
    assert "mlflow.parentRunId" not in logged(run).data.tags


def test_a_missing_configuration_file_starts_no_run(tiny_config: Config, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        with pytest.raises(FileNotFoundError, match=r"params\.yaml"), stage_run(tiny_config, "train", "without"):
            pass

    with stage_run(tiny_config, "train", "with") as run:
        pass
    names = [one.info.run_name for one in MlflowClient().search_runs([logged(run).info.experiment_id])]
    assert "with" in names
    assert "without" not in names


def test_identity_is_that_of_configuration_and_data(
    tiny_data: Data, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = identity_tags(tiny_data)
    monkeypatch.setenv("DVC_EXP_NAME", "azure-newt")

    assert tags["config.sha256"] == hashlib.sha256((project / "params.yaml").read_bytes()).hexdigest()
    assert tags["data.sha256"] == data_sha256(tiny_data)
    assert "dvc.experiment" not in tags
    assert identity_tags(tiny_data)["dvc.experiment"] == "azure-newt"


@pytest.mark.parametrize(
    ("changes", "same"),
    [({"directory": None, "sources": ["https"]}, True), ({"validation": 1}, True), ({"files": {}}, False)],
    ids=["another source", "another split", "another file"],
)
def test_data_are_what_their_files_hash_to(tiny_data: Data, changes: dict[str, object], same: bool) -> None:
    if "files" in changes:
        files = tiny_data.files
        other = files.test_labels.model_copy(update={"sha256": "0" * 64})
        changes = {"files": files.model_copy(update={"test_labels": other})}

    changed = tiny_data.model_copy(update=changes)

    assert (data_sha256(changed) == data_sha256(tiny_data)) is same


def test_the_commit_and_its_edits_are_tagged(tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=Tester", "-c", "user.email=tester@localhost"]
        return subprocess.run(["git", *identity, *arguments], capture_output=True, text=True, check=True).stdout.strip()

    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)  # set inside a hook
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.lock", "code.py"):
        Path(name).write_text("a: 1\n")
    assert "git.commit" not in identity_tags(tiny_data)
    git("init")
    assert "git.commit" not in identity_tags(tiny_data)
    git("add", ".")
    git("commit", "-m", "first")

    clean = identity_tags(tiny_data)
    Path("dvc.lock").write_text("written by DVC\n")
    Path("params.yaml").write_text("a: 2\n")
    Path("untracked").touch()
    locked = identity_tags(tiny_data)
    Path("code.py").write_text("a: 2\n")
    edited = identity_tags(tiny_data)

    assert clean["git.commit"] == git("rev-parse", "HEAD")
    assert [tags["git.dirty"] for tags in (clean, locked, edited)] == ["false", "false", "true"]


# Raised where MLflow's loaders are imported.
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")
def test_a_logged_model_has_its_own_figures_says_what_it_takes_and_predicts_the_same_when_loaded(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_tensorflow(2)
    model = exported(build(config.cells["lstm"], config.sequence, 42), config.cells["lstm"], config.sequence)
    images = np.random.default_rng(1).integers(0, 256, (5, 28, 28)).astype(np.uint8)
    expected = model(images).numpy()

    with stage_run(config, "train", "train@lstm") as run:
        for step, accuracy in enumerate([0.5, 0.9, 0.7]):
            run.metrics({"val.accuracy": accuracy}, step=step)
        run.metrics({"selected.epoch": 1}, step=1)
        run.model(model, images[:1], step=1)
        monkeypatch.setenv("MLFLOW_ACTIVE_MODEL_ID", logged(run).outputs.model_outputs[0].model_id)
        run.metrics({"last.epoch": 2, "val.loss": 0.1}, step=1)

    [own] = MlflowClient().search_logged_models([logged(run).info.experiment_id])
    assert {(one.key, one.value, one.step) for one in own.metrics} == {
        ("val.accuracy", 0.9, 1),
        ("selected.epoch", 1, 1),
    }
    uri = f"runs:/{run.id}/model"
    by_pyfunc, by_keras = mlflow.pyfunc.load_model(uri), mlflow.keras.load_model(uri)
    np.testing.assert_allclose(by_pyfunc.predict(images), expected, rtol=1e-5)
    np.testing.assert_allclose(by_keras(images).numpy(), expected, rtol=1e-5)
    signature = by_pyfunc.metadata.signature
    assert [(one.type, one.shape) for one in signature.inputs] == [(np.uint8, (-1, 28, 28))]
    assert [(one.type, one.shape) for one in signature.outputs] == [(np.float32, (-1, 10))]
    np.testing.assert_array_equal(by_pyfunc.input_example, images[:1])

    with stage_run(config, "train", "train@lstm", resume=run.id) as again:
        again.model(model, images[:1], step=1)
    assert len(logged(run).outputs.model_outputs) == 1


def test_a_graph_is_logged_once(tiny_config: Config) -> None:
    start_tensorflow(2)
    model = build(tiny_config.cells["rnn"], tiny_config.sequence, 42)

    with stage_run(tiny_config, "train", "train@rnn") as run:
        run.graph(model)
    with stage_run(tiny_config, "train", "train@rnn", resume=run.id) as again:
        again.graph(model)

    assert artifacts(run, "graph") == ["graph/model.png", "graph/tensorboard"]
    assert len(artifacts(run, "graph/tensorboard")) == 1
