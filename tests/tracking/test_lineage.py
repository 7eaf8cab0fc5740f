from pathlib import Path

import pytest
from mlflow.entities import Run as Logged

from seqmnist.config import Config
from seqmnist.files import sha256_file
from seqmnist.tracking.lineage import found_or_restored
from seqmnist.tracking.runs import Run, stage_run
from seqmnist.tracking.store import open_store


def run_of(config: Config, run_id: str) -> Logged:
    return open_store(config.tracking)[0].get_run(run_id)


def made(config: Config, identity: str, status: str = "FINISHED") -> str:
    with stage_run(config, "preprocess", "preprocess") as run:
        run.tags({"splits.sha256": identity})
    if status != "FINISHED":
        open_store(config.tracking)[0].set_terminated(run.id, status)
    return run.id


def found(config: Config, identity: str) -> str:
    def log(run: Run) -> None:
        run.metrics({"data.train.images": 50})

    return found_or_restored(config, "preprocess", "preprocess", {"splits.sha256": identity}, log)


def test_the_newest_finished_run_that_made_the_same_is_found(config: Config) -> None:
    made(config, "abc")
    newest = made(config, "abc")
    made(config, "def")
    made(config, "abc", "FAILED")
    assert found(config, "abc") == newest


def test_a_stand_in_is_made_once_where_no_run_made_it(config: Config) -> None:
    made(config, "def")
    stand_in = run_of(config, found(config, "abc"))
    assert (stand_in.info.status, stand_in.info.run_name) == ("FINISHED", "preprocess")
    assert stand_in.data.tags["source"] == "dvc-cache"
    assert stand_in.data.tags["splits.sha256"] == "abc"
    assert stand_in.data.metrics == {"data.train.images": 50}
    assert found(config, "abc") == stand_in.info.run_id


def test_a_found_run_becomes_one_of_the_present_configuration_and_experiment(
    config: Config, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = made(config, "abc")
    first = sha256_file(project / "params.yaml")
    found(config, "abc")
    assert run_of(config, run_id).data.tags["config.sha256"] == first

    (project / "params.yaml").write_text("seeds: [1]\n")
    monkeypatch.setenv("DVC_EXP_NAME", "dark-chai")
    for _ in range(2):
        assert found(config, "abc") == run_id

    tags = run_of(config, run_id).data.tags
    assert tags["config.sha256"].split() == [first, sha256_file(project / "params.yaml")]
    assert tags["dvc.experiment"] == "dark-chai"


def test_a_tag_holds_the_newest_configurations_it_has_room_for(config: Config, project: Path) -> None:
    run_id = made(config, "abc")
    client, _ = open_store(config.tracking)
    client.set_tag(run_id, "config.sha256", " ".join(["0" * 64] * 120))
    found(config, "abc")
    known = run_of(config, run_id).data.tags["config.sha256"].split()
    assert len(known) == 100
    assert known[-1] == sha256_file(project / "params.yaml")
