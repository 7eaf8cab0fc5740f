"""Trainings that were killed, interrupted or changed, and what the same command makes of them."""

import fcntl
import os
import re
import signal
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest
from mlflow.entities import Run

EPOCHS = 150


@pytest.fixture(scope="module")
def straight(reproduced: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A clone in which both cells were trained for many short epochs without a break."""
    project = reproduced.copy(tmp_path_factory.mktemp("straight") / "clone")
    lengthen(project)
    project.succeed("dvc", "repro", "train")
    return project


@pytest.fixture
def long(project: Any) -> Any:
    """A clone that is to train the same."""
    lengthen(project)
    return project


def lengthen(project: Any) -> None:
    project.edit("conf/train/default.yaml", "epochs: 2\n", f"epochs: {EPOCHS}\n")


def train_runs(project: Any, cell: str) -> list[Run]:
    client = mlflow.MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("seqmnist")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.stage = 'train' and tags.cell = '{cell}'"))


def kill(project: Any, cell: str, epoch: int) -> list[Path]:
    """Kill `dvc repro` and all that it started in the midst of training; the checkpoints that are left."""
    process = project.start("dvc", "repro", f"train@{cell}")
    for line in process.stdout:
        if f" {epoch}/{EPOCHS - 1} " in line:
            break
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()  # DVC first: on a child's death it would rewrite its lock file, and be killed in the midst of that
    for child in children:
        child.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (run,) = train_runs(project, cell)
    assert run.info.status == "RUNNING", "the training was still at it"
    return sorted((project.root / "checkpoints" / f"{cell}-seed-42").glob("*/after-*"))


def assert_as_if_never_stopped(project: Any, straight: Any, cell: str) -> None:
    for path, digest in project.output_hashes().items():
        if cell in path and "curves" not in path and "predictions" not in path:
            assert digest == straight.output_hashes()[path], path
    assert list((project.root / "checkpoints").rglob("after-*")) == []
    (run,) = train_runs(project, cell)
    assert run.info.status == "FINISHED"
    client = mlflow.MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")
    expected = {"selected": [run.data.metrics["selected.epoch"]], "last": [EPOCHS - 1]}
    for metric in run.data.metrics:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, metric)]
        assert steps == expected.get(metric.partition(".")[0], list(range(EPOCHS))), metric
    assert len(run.outputs.model_outputs) == 1


def test_a_killed_training_goes_on_to_the_same_bits_in_the_same_run(long: Any, straight: Any) -> None:
    checkpoints = kill(long, "lstm", epoch=20)
    assert len(checkpoints) == 2

    result = long.succeed("dvc", "repro", "train@lstm")

    (epoch,) = re.findall(r"^train@lstm: resuming at epoch (\d+)$", result.output, re.MULTILINE)
    assert int(epoch) >= 20
    assert f" {int(epoch) - 1}/{EPOCHS - 1} " not in result.output, "no epoch is trained twice"
    assert_as_if_never_stopped(long, straight, "lstm")


def test_a_damaged_checkpoint_costs_one_epoch(long: Any, straight: Any) -> None:
    before, newest = kill(long, "rnn", epoch=20)
    state = newest / "state.npz"
    damaged = bytearray(state.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    state.write_bytes(damaged)

    result = long.succeed("dvc", "repro", "train@rnn")

    assert f"{newest.name} of " in result.output
    assert "is damaged" in result.output
    assert f"train@rnn: resuming at epoch {int(before.name.removeprefix('after-'))}\n" in result.output
    assert_as_if_never_stopped(long, straight, "rnn")


def test_two_damaged_checkpoints_let_the_training_start_anew(long: Any, straight: Any) -> None:
    before, newest = kill(long, "rnn", epoch=20)
    state = before / "state.npz"
    state.write_bytes(state.read_bytes()[:1000])
    (newest / "state.npz").write_bytes(b"")

    result = long.succeed("dvc", "repro", "train@rnn")

    assert f"{newest.name} of " in result.output
    assert "is damaged (state.npz: its SHA-256 is another): the training starts anew\n" in result.output
    assert "resuming" not in result.output
    for path, digest in straight.output_hashes().items():
        if "rnn" in path:
            assert long.output_hashes()[path] == digest, path


def test_another_configuration_starts_anew_and_clears_up(long: Any) -> None:
    checkpoints = kill(long, "rnn", epoch=5)
    assert checkpoints
    long.edit("conf/train/default.yaml", f"epochs: {EPOCHS}", "epochs: 3")

    result = long.succeed("dvc", "repro", "train@rnn")

    assert "resuming" not in result.output
    assert "they are removed and the training starts anew\n" in result.output
    assert [row["epoch"] for row in long.history("rnn")] == ["0", "1", "2"]
    assert list((long.root / "checkpoints").rglob("after-*")) == []
    finished, stale = train_runs(long, "rnn")
    assert (finished.info.status, stale.info.status) == ("FINISHED", "KILLED")


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_a_stopped_training_is_killed_in_mlflow_and_says_how_to_go_on(project: Any, signal_: signal.Signals) -> None:
    project.edit("params.yaml", "epochs: 2", "epochs: 2000")
    process = project.start("python", "-m", "seqmnist.stages.train", "rnn", PYTHONPATH="src")
    result = project.interrupt(process, " 1/1999 ", signal_)
    assert result.code == {signal.SIGINT: 130, signal.SIGTERM: 143}[signal_]
    *_, how, last = result.output.splitlines()
    assert last == {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[signal_]
    (epoch,) = re.findall(r"^train@rnn: stopped; the same command goes on at epoch (\d+)$", how)
    (run,) = train_runs(project, "rnn")
    assert run.info.status == "KILLED"

    process = project.start("python", "-m", "seqmnist.stages.train", "rnn", PYTHONPATH="src")
    result = project.interrupt(process, f" {int(epoch) + 1}/1999 ", signal_)
    assert f"train@rnn: resuming at epoch {epoch}\n" in result.output
    assert [run.info.status for run in train_runs(project, "rnn")] == ["KILLED"]


def test_bits_do_not_depend_on_the_number_of_cores(project: Any) -> None:
    before = {path: (project.root / path).read_bytes() for path in ("models/lstm/seed-42.weights.h5",)}
    core = min(os.sched_getaffinity(0))
    command = ["taskset", "--cpu-list", str(core), "python", "-m", "seqmnist.stages.train", "lstm"]
    project.succeed(*command, PYTHONPATH="src")
    for path, content in before.items():
        assert (project.root / path).read_bytes() == content


def test_a_second_process_leaves_the_checkpoints_of_a_living_one_alone(long: Any) -> None:
    checkpoints = kill(long, "rnn", epoch=5)
    with (checkpoints[0].parent / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as if the first process lived

        process = long.start("python", "-m", "seqmnist.stages.train", "rnn", PYTHONPATH="src")
        result = long.interrupt(process, f" 1/{EPOCHS - 1} ", signal.SIGINT)

    assert "train@rnn: another process trains the same" in result.output
    assert "resuming" not in result.output
    assert "starts anew" in result.output
    assert all(path.exists() for path in checkpoints)
