"""Runs, models and data sets that seqmnist logs to MLflow, and the page of `make ui`."""

import hashlib
import itertools
import json
import re
import signal
import socket
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run

from tests.mlflow_store import curve, runs_in


def runs(project: Any, **tags: str) -> list[Run]:
    return runs_in(project, "seqmnist", **tags)


def test_each_stage_logs_one_finished_run(reproduced: Any) -> None:
    names = {run.info.run_name: run.info.status for run in runs(reproduced)}
    assert names == dict.fromkeys(["download", "preprocess", "train@rnn", "train@lstm", "evaluate"], "FINISHED")


def test_tags_identify_weights_and_data(reproduced: Any) -> None:
    for cell in ("rnn", "lstm"):
        (run,) = runs(reproduced, stage="train", cell=cell)
        weights = (reproduced.root / "models" / cell / "seed-42.weights.h5").read_bytes()
        assert run.data.tags["model.sha256"] == hashlib.sha256(weights).hexdigest()
        assert re.fullmatch("[0-9a-f]{64}", run.data.tags["train.sha256"])
    assert len({run.data.tags["data.sha256"] for run in runs(reproduced)}) == 1


def test_both_cells_have_the_same_parameter_and_metric_names(reproduced: Any) -> None:
    (rnn,), (lstm,) = (runs(reproduced, stage="train", cell=cell) for cell in ("rnn", "lstm"))
    assert set(rnn.data.params) == set(lstm.data.params)
    assert set(rnn.data.params) >= {"cell.type", "cell.units", "train.epochs", "data.name", "sequence.view", "seed"}
    assert set(rnn.data.metrics) == set(lstm.data.metrics)


def test_metrics_in_mlflow_match_history_csv(reproduced: Any) -> None:
    (run,) = runs(reproduced, stage="train", cell="lstm")
    history = reproduced.history("lstm")
    for metric in set(history[0]) - {"seed", "epoch"}:
        assert curve(reproduced, run, metric) == [(int(row["epoch"]), float(row[metric])) for row in history]
    assert run.data.metrics["time.epoch_seconds"] > 0
    selected = reproduced.metrics()["lstm"]["seeds"]["42"]["selected"]
    assert run.data.metrics["selected.test.accuracy"] == selected["test"]["accuracy"]


def test_data_sets_carry_the_digests_of_the_splits(reproduced: Any) -> None:
    summary = json.loads((reproduced.root / "data/processed/splits.json").read_text())
    (run,) = runs(reproduced, stage="train", cell="rnn")
    inputs = {part.dataset.name: json.loads(part.dataset.source)["sha256"] for part in run.inputs.dataset_inputs}
    assert inputs == {f"tiny.{name}": part["sha256"] for name, part in summary.items()}


def test_each_training_run_has_a_picture_of_the_models_graph(reproduced: Any) -> None:
    for cell in ("rnn", "lstm"):
        (run,) = runs(reproduced, stage="train", cell=cell)
        folder = Path(urllib.parse.urlsplit(run.info.artifact_uri).path) / "graph"
        assert (folder / "model.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_logged_model_loads_without_the_package_seqmnist(reproduced: Any, tmp_path: Path) -> None:
    (run,) = runs(reproduced, stage="train", cell="lstm")
    model = f"models:/{run.outputs.model_outputs[0].model_id}"
    program = tmp_path / "load.py"
    program.write_text(
        "import sys\n"
        "sys.modules['seqmnist'] = None\n"
        "import mlflow, numpy as np\n"
        f"mlflow.set_tracking_uri('sqlite:///{reproduced.root / 'mlflow.db'}')\n"
        f"images = np.load({str(reproduced.root / 'data/processed/test.images.npy')!r})\n"
        f"print(mlflow.pyfunc.load_model({model!r}).predict(images).argmax(axis=1).tolist())\n"
    )
    predicted = json.loads(reproduced.succeed("python", str(program)).output.splitlines()[-1])
    table = (reproduced.root / "reports/predictions/lstm.csv").read_text().splitlines()[1:]
    assert predicted == [int(line.split(",")[3]) for line in table]


@pytest.mark.slow
def test_a_diverged_training_ends_at_once_and_its_run_is_failed(project: Any) -> None:
    project.edit("conf/train/notebook.yaml", "learning_rate: 0.001", "learning_rate: 1.0e+38")
    result = project.run("dvc", "repro", "train@rnn")
    assert result.code != 0
    (error,) = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert "training diverged: the loss is" in error
    assert "epoch 0, batch" in error
    assert "Traceback" not in result.output
    (run,) = runs(project, stage="train")
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] in error


@pytest.mark.slow
def test_make_ui_listens_on_this_machine_only_and_prints_links(reproduced: Any) -> None:
    process = reproduced.start("python", "-m", "seqmnist.ui", PYTHONPATH="src")
    assert process.stdout is not None
    lines = list(itertools.takewhile(lambda line: line != "Ctrl-C ends it.\n", process.stdout))
    assert process.poll() is None, "".join(lines)
    assert lines[0].startswith("starting MLflow on 127.0.0.1:")
    links = {name: url for name, _, url in (line.strip().partition(": ") for line in lines) if url.startswith("http")}
    try:
        both = "rnn and lstm"
        assert list(links) == ["all runs", f"{both} compared", f"charts of {both}", f"val.accuracy of {both}"]
        address = urllib.parse.urlsplit(links["all runs"])
        assert address.hostname == "127.0.0.1"
        with urllib.request.urlopen(f"http://{address.netloc}/") as page:
            assert b"<title>MLflow</title>" in page.read()
        compared = urllib.parse.parse_qs(links["rnn and lstm compared"].partition("?")[2])
        expected = [runs(reproduced, stage="train", cell=cell)[0].info.run_id for cell in ("rnn", "lstm")]
        assert json.loads(compared["runs"][0]) == expected
        listening = subprocess.run(["cat", "/proc/net/tcp"], stdout=subprocess.PIPE, text=True, check=True).stdout
        assert f"0100007F:{address.port:04X}" in listening
        assert f"00000000:{address.port:04X}" not in listening
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 0
    with socket.create_server(("127.0.0.1", address.port)):
        pass  # the port is free again


def test_predictions_of_the_logged_model_are_probabilities(reproduced: Any) -> None:
    (run,) = runs(reproduced, stage="train", cell="rnn")
    mlflow.set_tracking_uri(f"sqlite:///{reproduced.root / 'mlflow.db'}")
    info = mlflow.models.get_model_info(f"models:/{run.outputs.model_outputs[0].model_id}")
    (inputs,), (outputs,) = info.signature.inputs.inputs, info.signature.outputs.inputs
    assert (inputs.type, inputs.shape) == (np.dtype("uint8"), (-1, 28, 28))
    assert (outputs.type, outputs.shape) == (np.dtype("float32"), (-1, 10))
    assert info.saved_input_example_info is not None
