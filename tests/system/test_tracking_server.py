"""A tracking server that dies while the real commands run, and what MLflow has when it is back."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seqmnist.localhost import HOST
from tests.ports import free_port
from tests.servers import Server

ENVIRONMENT = {"PYTHONPATH": "src", "MLFLOW_HTTP_REQUEST_TIMEOUT": "120"}  # a slow machine has time
SYNC = ("python", "-m", "seqmnist", "sync")
SWEEP = ("python", "-m", "seqmnist.sweep", "-m", "hydra.sweep.dir=sweeps/one")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # what a client sets is taken back
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder)
    server.start()
    yield server
    server.stop()


def told(output: str) -> list[str]:
    return [line.partition(":")[0] for line in output.splitlines() if "is away" in line]


def kill_when(server: Server, process: subprocess.Popen[str], shown: str) -> str:
    """Kill the server as soon as a command prints a line with a text; all that the command prints until its end."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if shown in line:
            server.kill()
            break
    rest, _ = process.communicate()
    assert process.returncode == 0, "".join(lines) + rest
    return "".join(lines) + rest


def test_a_pipeline_goes_on_without_its_server_and_sync_sends_what_it_lacks(
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
        assert ("source" in runs[f"train@{cell}"].data.tags) is (cell == "lstm"), "it was away from that one's start"
    trained = {runs[f"train@{cell}"].info.run_id for cell in ("rnn", "lstm")}
    assert set(runs["evaluate"].data.tags["train.runs"].split()) == trained

    (again,) = unrun.succeed(*SYNC, **environment).output.splitlines()
    assert again.startswith("champion of seqmnist-tiny: version ")
    assert {run.info.run_id for run in server.runs("seqmnist")} == {run.info.run_id for run in runs.values()}


def test_a_sweep_goes_on_without_its_server_and_resume_sends_what_it_lacks(project: Any, server: Server) -> None:
    environment = ENVIRONMENT | {"MLFLOW_TRACKING_URI": server.uri}
    command = [*SWEEP, "cell=rnn", "seed=1,2", "train.epochs=2", "hydra/launcher=basic"]

    output = kill_when(server, project.start(*command, **environment), "#0 rnn seed=1: validation accuracy")

    assert "Traceback" not in output
    assert "#1 rnn seed=2: validation accuracy" in output
    assert "(epoch 1), not all of it in MLflow" in output or "(epoch 0), not all of it in MLflow" in output
    assert "sweep one: MLflow has not all of 1 trials: `seqmnist resume sweeps/one` sends the rest" in output
    assert told((project.root / "sweeps/one/1/trial.log").read_text()) == ["rnn seed=2"]
    assert output.count("rnn seed=") == 4, "each trial's line, and the table"
    weights = [project.root / f"sweeps/one/{n}/models/rnn/seed-{n + 1}.weights.h5" for n in range(2)]
    made = [path.stat().st_mtime_ns for path in weights]

    resume = ("python", "-m", "seqmnist", "resume", "sweeps/one")
    refused = project.run(*resume, **environment)
    assert refused.code == 1
    assert "the server is away" in refused.output
    assert "Traceback" not in refused.output

    server.start()
    project.succeed(*resume, **environment)

    runs = {run.info.run_name: run for run in server.runs("seqmnist-sweeps")}
    assert sorted(runs) == ["rnn seed=1", "rnn seed=2", "sweep one"]
    assert len(server.runs("seqmnist-sweeps")) == 3
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parent = runs.pop("sweep one")
    assert parent.data.metrics["trials.finished"] == 2
    for run in runs.values():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert server.steps(run)["val.accuracy"] == [0, 1]
    assert [path.stat().st_mtime_ns for path in weights] == made, "nothing was trained again"


def test_a_sweep_does_not_start_without_its_server(project: Any) -> None:
    uri = f"http://{HOST}:{free_port()}"
    result = project.run(*SWEEP, "cell=rnn", "seed=1,2", MLFLOW_TRACKING_URI=uri, PYTHONPATH="src")
    assert result.code == 1
    (line,) = result.output.splitlines()
    assert line == f"error: tracking: the MLflow store {uri} can't be used: the server is away (no connection)"
    assert not list((project.root / "sweeps").glob("*/*"))
