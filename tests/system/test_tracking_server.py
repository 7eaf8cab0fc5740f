"""A tracking server that dies during the trainings: the pipeline continues, and `seqmnist sync` completes the runs."""

from typing import Any

import pytest

from tests.servers import Server, kill_when, told

pytestmark = pytest.mark.slow

ENVIRONMENT = {"PYTHONPATH": "src", "MLFLOW_HTTP_REQUEST_TIMEOUT": "120"}  # seconds: enough for a slow machine
SYNC = ("python", "-m", "seqmnist", "sync")


def test_a_pipeline_continues_without_its_server_and_sync_completes_the_runs(
    unrun: Any, reproduced: Any, server: Server
) -> None:
    environment = ENVIRONMENT | {"MLFLOW_TRACKING_URI": server.uri}

    output = kill_when(server, unrun.start("dvc", "repro", **environment), "train@rnn  0/1")

    assert sorted(told(output)) == ["evaluate", "train@lstm", "train@rnn"]
    assert "Traceback" not in output
    assert unrun.output_hashes() == reproduced.output_hashes()

    failed = unrun.run(*SYNC, **environment)
    assert failed.code == 1
    (line,) = failed.output.splitlines()
    assert line.startswith(f"error: tracking: the MLflow store {server.uri} can't be used: the server is away")
    assert line.endswith("The results here are complete; once it is back, `seqmnist sync` sends them")

    server.start()
    synced = unrun.succeed(*SYNC, **environment)

    assert "train@rnn: completed in MLflow" in synced.output
    assert "champion of seqmnist-tiny: version " in synced.output
    runs = {run.info.run_name: run for run in server.runs("seqmnist")}
    assert len(server.runs("seqmnist")) == len(runs) == 5
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for cell in ("rnn", "lstm"):
        steps = server.steps(runs[f"train@{cell}"])
        assert steps == {name: [0, 1] for name in set(unrun.history(cell)[0]) - {"seed", "epoch"}}
        assert ("source" in runs[f"train@{cell}"].data.tags) is (cell == "lstm"), (
            "the server was away when the lstm's training began"
        )
    trained = {runs[f"train@{cell}"].info.run_id for cell in ("rnn", "lstm")}
    assert set(runs["evaluate"].data.tags["train.runs"].split()) == trained

    (again,) = unrun.succeed(*SYNC, **environment).output.splitlines()
    assert again.startswith("champion of seqmnist-tiny: version ")
    assert {run.info.run_id for run in server.runs("seqmnist")} == {run.info.run_id for run in runs.values()}
