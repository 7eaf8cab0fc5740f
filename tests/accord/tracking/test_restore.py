from pathlib import Path

import pytest
from mlflow.entities import Run as Logged

from accord.files import sha256_file
from accord.settings import Tracking
from accord.tracking.restore import found_or_restored
from accord.tracking.runs import Run, RunRequest, stage_run
from accord.tracking.store import open_store


def run_of(tracking: Tracking, run_id: str) -> Logged:
    return open_store(tracking)[0].get_run(run_id)


def made(tracking: Tracking, identity: str, status: str = "FINISHED") -> str:
    with stage_run(tracking, RunRequest("preprocess", "preprocess")) as run:
        run.tags({"splits.sha256": identity})
    if status != "FINISHED":
        open_store(tracking)[0].set_terminated(run.id, status)
    return run.id


def found(tracking: Tracking, identity: str) -> str:
    def log(run: Run) -> None:
        run.metrics({"data.train.images": 50})

    return found_or_restored(tracking, RunRequest("preprocess", "preprocess"), {"splits.sha256": identity}, log)


def test_the_newest_finished_run_with_the_same_outputs_is_found(tracking: Tracking) -> None:
    made(tracking, "abc")
    newest = made(tracking, "abc")
    made(tracking, "def")
    made(tracking, "abc", "FAILED")
    assert found(tracking, "abc") == newest


def test_outputs_without_a_run_get_one_only_once(tracking: Tracking) -> None:
    made(tracking, "def")
    stand_in = run_of(tracking, found(tracking, "abc"))
    assert (stand_in.info.status, stand_in.info.run_name) == ("FINISHED", "preprocess")
    assert stand_in.data.tags["source"] == "dvc-cache"
    assert stand_in.data.tags["splits.sha256"] == "abc"
    assert stand_in.data.metrics == {"data.train.images": 50}
    assert found(tracking, "abc") == stand_in.info.run_id


def test_a_found_run_is_tagged_with_the_present_configuration_and_experiment(
    tracking: Tracking, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = made(tracking, "abc")
    first = sha256_file(project / "params.yaml")
    found(tracking, "abc")
    assert run_of(tracking, run_id).data.tags["config.sha256"] == first

    (project / "params.yaml").write_text("seeds: [1]\n")
    monkeypatch.setenv("DVC_EXP_NAME", "dark-chai")
    for _ in range(2):
        assert found(tracking, "abc") == run_id

    tags = run_of(tracking, run_id).data.tags
    assert tags["config.sha256"].split() == [first, sha256_file(project / "params.yaml")]
    assert tags["dvc.experiment"] == "dark-chai"


def test_a_tag_keeps_the_newest_hundred_configurations(tracking: Tracking, project: Path) -> None:
    run_id = made(tracking, "abc")
    client, _ = open_store(tracking)
    client.set_tag(run_id, "config.sha256", " ".join(["0" * 64] * 120))
    found(tracking, "abc")
    known = run_of(tracking, run_id).data.tags["config.sha256"].split()
    assert len(known) == 100
    assert known[-1] == sha256_file(project / "params.yaml")
