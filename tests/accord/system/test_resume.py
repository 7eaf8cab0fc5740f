"""Trainings that were killed, interrupted or changed, and their resume by the same command."""

import fcntl
import re
import signal
from pathlib import Path

import pytest

from tests.projects import Once, Project
from tests.trainings import Training

EPOCHS = 60
MANY = 2000  # so many that the training does not end within the test
LINE = "  epoch {}  "
MLP = Training("mlp", "digits", "train@mlp", f"train@mlp{LINE}", EPOCHS)
SGD = Training("sgd", "digits", "train@sgd", f"train@sgd{LINE}", EPOCHS)
TRAIN = ("python", "-m", "digits.train", "mlp")


@pytest.fixture(scope="module")
def straight(reproduced: Project, once: Once) -> Project:
    """Return a project in which both models were trained for many epochs without interruption."""

    def make(target: Path) -> None:
        project = reproduced.copy(target)
        lengthen(project)
        project.succeed("dvc", "repro", "train")

    return Project(once("straight digits", make), reproduced.below)


@pytest.fixture
def long(project: Project) -> Project:
    """Return a project that will train the same epochs."""
    lengthen(project)
    return project


def lengthen(project: Project) -> None:
    project.edit("conf/train/default.yaml", "epochs: 3\n", f"epochs: {EPOCHS}\n")


@pytest.mark.slow
def test_a_killed_training_resumes_in_the_same_run_with_the_same_bits(long: Project, straight: Project) -> None:
    checkpoints = MLP.kill(long, epoch=10)
    assert len(checkpoints) == 2

    result = long.succeed("dvc", "repro", "train@mlp")

    (epoch,) = re.findall(r"^train@mlp: resuming at epoch (\d+)$", result.output, re.MULTILINE)
    assert int(epoch) >= 10
    assert MLP.printed(int(epoch) - 1) not in result.output, "no epoch is trained twice"
    assert MLP.printed(int(epoch)) in result.output
    MLP.assert_as_if_never_stopped(long, straight)


@pytest.mark.slow
def test_a_damaged_checkpoint_costs_one_epoch(long: Project, straight: Project) -> None:
    before, newest = SGD.kill(long, epoch=10)
    state = newest / "learner.pickle"
    damaged = bytearray(state.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    state.write_bytes(damaged)

    result = long.succeed("dvc", "repro", "train@sgd")

    assert f"{newest.name} of " in result.output
    assert "is damaged" in result.output
    assert f"train@sgd: resuming at epoch {int(before.name.removeprefix('after-'))}\n" in result.output
    SGD.assert_as_if_never_stopped(long, straight)


@pytest.mark.slow
def test_with_two_damaged_checkpoints_the_training_starts_anew(long: Project, straight: Project) -> None:
    before, newest = SGD.kill(long, epoch=10)
    state = before / "learner.pickle"
    state.write_bytes(state.read_bytes()[:1000])
    (newest / "learner.pickle").write_bytes(b"")

    result = long.succeed("dvc", "repro", "train@sgd")

    assert f"{newest.name} of " in result.output
    assert "is damaged (learner.pickle: its SHA-256 is another): the training starts anew\n" in result.output
    assert "resuming" not in result.output
    SGD.assert_same_outputs(long, straight)


@pytest.mark.slow
def test_another_configuration_starts_anew_and_removes_old_checkpoints(long: Project) -> None:
    checkpoints = SGD.kill(long, epoch=5)
    assert checkpoints
    long.edit("conf/train/default.yaml", f"epochs: {EPOCHS}", "epochs: 3")
    long.edit("conf/train/default.yaml", "batch_size: 64", "batch_size: 63")  # 3 epochs of 64 are in the run cache

    result = long.succeed("dvc", "repro", "train@sgd")

    assert "resuming" not in result.output
    assert "they are removed and the training starts anew\n" in result.output
    assert [row["epoch"] for row in long.history("sgd")] == ["0", "1", "2"]
    assert list((long.root / "checkpoints").rglob("after-*")) == []
    finished, stale = SGD.runs(long)
    assert (finished.info.status, stale.info.status) == ("FINISHED", "KILLED")


@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_a_stopped_training_is_killed_in_mlflow_and_says_how_to_resume(
    project: Project, signal_: signal.Signals
) -> None:
    project.edit("params.yaml", "epochs: 3", f"epochs: {MANY}")
    process = project.start(*TRAIN, PYTHONPATH="src")
    result = project.interrupt(process, MLP.printed(1), signal_)
    assert result.code == {signal.SIGINT: 130, signal.SIGTERM: 143}[signal_]
    *_, how, last = result.output.splitlines()
    assert last == {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[signal_]
    (epoch,) = re.findall(r"^train@mlp: stopped; the same command goes on at epoch (\d+)$", how)
    (run,) = MLP.runs(project)
    assert run.info.status == "KILLED"

    process = project.start(*TRAIN, PYTHONPATH="src")
    result = project.interrupt(process, MLP.printed(int(epoch) + 1), signal_)
    assert f"train@mlp: resuming at epoch {epoch}\n" in result.output
    assert [run.info.status for run in MLP.runs(project)] == ["KILLED"]


@pytest.mark.slow
def test_a_second_process_leaves_the_checkpoints_of_a_living_one_alone(project: Project) -> None:
    project.edit("conf/train/default.yaml", "epochs: 3\n", f"epochs: {MANY}\n")
    checkpoints = MLP.kill(project, epoch=5)
    with (checkpoints[0].parent / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as a running first process does

        process = project.start(*TRAIN, PYTHONPATH="src")
        result = project.interrupt(process, MLP.printed(1), signal.SIGINT)

    assert "train@mlp: another process trains the same" in result.output
    assert "resuming" not in result.output
    assert "starts anew" in result.output
    assert all(path.exists() for path in checkpoints)
