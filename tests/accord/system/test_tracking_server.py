"""A tracking server that dies while the real commands run, and the runs in MLflow once it is back."""

import pytest

from seqmnist.localhost import HOST
from tests.ports import free_port
from tests.projects import Project
from tests.servers import Server, kill_when, told

pytestmark = pytest.mark.slow

ENVIRONMENT = {"PYTHONPATH": "src", "MLFLOW_HTTP_REQUEST_TIMEOUT": "120"}  # long enough for a slow machine
SYNC = ("python", "-m", "digits", "sync")
SWEEP = ("python", "-m", "digits.sweep", "-m", "hydra.sweep.dir=sweeps/one")
MODELS = ("sgd", "mlp")


def test_a_pipeline_continues_without_its_server_and_sync_sends_the_rest(
    unrun: Project, reproduced: Project, server: Server
) -> None:
    environment = ENVIRONMENT | {"MLFLOW_TRACKING_URI": server.uri}

    output = kill_when(server, unrun.start("dvc", "repro", **environment), "train@sgd  epoch 0")

    assert sorted(told(output)) == ["evaluate", "train@mlp", "train@sgd"]
    assert "Traceback" not in output
    assert unrun.output_hashes() == reproduced.output_hashes()

    failed = unrun.run(*SYNC, **environment)
    assert failed.code == 1
    (line,) = failed.output.splitlines()
    assert line.startswith(f"error: tracking: the MLflow store {server.uri} can't be used: the server is away")
    assert line.endswith("The results here are complete; once it is back, `digits sync` sends them")

    server.start()
    synced = unrun.succeed(*SYNC, **environment)

    assert "train@sgd: completed in MLflow" in synced.output
    assert "champion of digits: version " in synced.output
    runs = {run.info.run_name: run for run in server.runs("digits")}
    assert len(server.runs("digits")) == len(runs) == 4
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for model in MODELS:
        steps = server.steps(runs[f"train@{model}"])
        assert steps == {name: [0, 1, 2] for name in set(unrun.history(model)[0]) - {"epoch"}}
        assert ("source" in runs[f"train@{model}"].data.tags) is (model == "mlp"), "it was away from that one's start"

    (again,) = unrun.succeed(*SYNC, **environment).output.splitlines()
    assert again.startswith("champion of digits: version ")
    assert {run.info.run_id for run in server.runs("digits")} == {run.info.run_id for run in runs.values()}


def test_a_sweep_continues_without_its_server_and_resume_sends_the_rest(project: Project, server: Server) -> None:
    environment = ENVIRONMENT | {"MLFLOW_TRACKING_URI": server.uri}
    command = [*SWEEP, "model=sgd", "seed=1,2", "train.epochs=2", "hydra/launcher=basic"]

    output = kill_when(server, project.start(*command, **environment), "#0 sgd seed=1: validation accuracy")

    assert "Traceback" not in output
    assert "#1 sgd seed=2: validation accuracy" in output
    assert "(epoch 1), not all of it in MLflow" in output or "(epoch 0), not all of it in MLflow" in output
    assert "sweep one: MLflow lacks results of 1 trials: `digits resume sweeps/one` sends them" in output
    assert told((project.root / "sweeps/one/1/trial.log").read_text()) == ["sgd seed=2"]
    assert output.count("sgd seed=") == 4, "each trial's line, and the table"
    models = [project.root / f"sweeps/one/{number}/models/sgd/model.pickle" for number in range(2)]
    made = [path.stat().st_mtime_ns for path in models]

    resume = ("python", "-m", "digits", "resume", "sweeps/one")
    refused = project.run(*resume, **environment)
    assert refused.code == 1
    assert "the server is away" in refused.output
    assert "Traceback" not in refused.output

    server.start()
    project.succeed(*resume, **environment)

    runs = {run.info.run_name: run for run in server.runs("digits-sweeps")}
    assert sorted(runs) == ["sgd seed=1", "sgd seed=2", "sweep one"]
    assert len(server.runs("digits-sweeps")) == 3
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parent = runs.pop("sweep one")
    assert parent.data.metrics["trials.finished"] == 2
    for run in runs.values():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert server.steps(run)["val.accuracy"] == [0, 1]
    assert [path.stat().st_mtime_ns for path in models] == made, "nothing was trained again"


def test_a_sweep_does_not_start_without_its_server(project: Project) -> None:
    uri = f"http://{HOST}:{free_port()}"
    result = project.run(*SWEEP, "model=sgd", "seed=1,2", MLFLOW_TRACKING_URI=uri, PYTHONPATH="src")
    assert result.code == 1
    (line,) = result.output.splitlines()
    assert line == f"error: tracking: the MLflow store {uri} can't be used: the server is away (no connection)"
    assert not list((project.root / "sweeps").glob("*/*"))
