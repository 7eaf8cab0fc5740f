import json
from pathlib import Path

import mlflow.data
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as Logged

from accord.settings import Tracking
from accord.tracking.runs import Run, RunRequest, stage_run
from seqmnist.config import Data
from seqmnist.data.splits import NAMES, Split, save, summary
from seqmnist.paths import PROCESSED, RAW
from seqmnist.runs.stage_runs import data_sha256, data_tags, log_raw, log_splits

SPLIT = Split(np.zeros((3, 28, 28), np.uint8), np.array([1, 1, 9], np.uint8))


def logged(run: Run) -> Logged:
    return MlflowClient().get_run(run.id)


def test_splits_are_data_sets_named_by_their_content(tracking: Tracking, tiny_data: Data) -> None:
    described = summary({"train": SPLIT, "validation": SPLIT, "test": SPLIT})

    with stage_run(tracking, RunRequest("preprocess", "preprocess")) as run:
        log_splits(run, tiny_data, described)

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


def test_the_raw_files_are_one_data_set(tracking: Tracking, tiny_data: Data) -> None:
    with stage_run(tracking, RunRequest("download", "download", extra_tags=data_tags(tiny_data))) as run:
        log_raw(run, tiny_data)

    [one] = logged(run).inputs.dataset_inputs
    assert one.dataset.name == "tiny"
    assert json.loads(one.dataset.source) == {"uri": "data/raw", "sha256": logged(run).data.tags["data.sha256"]}
    assert json.loads(one.dataset.profile) == {file.name: file.sha256 for file in tiny_data.files.all()}


@pytest.mark.parametrize(
    ("changes", "same"),
    [({"directory": None, "sources": ["https"]}, True), ({"validation": 1}, True), ({"files": {}}, False)],
    ids=["another source", "another split", "another file"],
)
def test_raw_data_digest_depends_only_on_the_files(tiny_data: Data, changes: dict[str, object], same: bool) -> None:
    if "files" in changes:
        files = tiny_data.files
        other = files.test_labels.model_copy(update={"sha256": "0" * 64})
        changes = {"files": files.model_copy(update={"test_labels": other})}

    changed = tiny_data.model_copy(update=changes)

    assert (data_sha256(changed) == data_sha256(tiny_data)) is same


def test_data_sets_lead_to_their_files(tracking: Tracking, tiny_data: Data, project: Path) -> None:
    parts = {name: Split(np.full((2, 28, 28), i, np.uint8), np.array([i, 9], np.uint8)) for i, name in enumerate(NAMES)}
    save(PROCESSED, parts)
    RAW.mkdir(parents=True, exist_ok=True)
    with stage_run(tracking, RunRequest("preprocess", "preprocess")) as run:
        log_raw(run, tiny_data)
        log_splits(run, tiny_data, summary(parts))

    inputs = logged(run).inputs.dataset_inputs
    loaded = {one.dataset.name: Path(mlflow.data.get_source(one).load()) for one in inputs}
    assert loaded == {"tiny": project / RAW, **{f"tiny.{name}": project / PROCESSED for name in NAMES}}
