"""Killed trainings of cells resume to the same bits, whatever the number of cores and processes.

tests/accord/system tests how a stage resumes.
"""

import os
import re
from pathlib import Path

import pytest

from tests.projects import Project
from tests.trainings import Training

EPOCHS = 50
LSTM = Training("lstm", "seqmnist", "lstm-seed-42", f" {{}}/{EPOCHS - 1} ", EPOCHS)


def test_a_killed_training_resumes_to_the_same_bits_in_the_same_run(project: Project, tmp_path: Path) -> None:
    project.edit("conf/train/default.yaml", "epochs: 2\n", f"epochs: {EPOCHS}\n")
    straight = project.copy(tmp_path / "straight")
    straight.succeed("dvc", "repro", LSTM.stage)
    checkpoints = LSTM.kill(project, epoch=10)
    assert len(checkpoints) == 2

    result = project.succeed("dvc", "repro", LSTM.stage)

    (epoch,) = re.findall(r"^train@lstm: resuming at epoch (\d+)$", result.output, re.MULTILINE)
    assert int(epoch) >= 10
    assert LSTM.printed(int(epoch) - 1) not in result.output, "an epoch was trained twice"
    LSTM.assert_as_if_never_stopped(project, straight)


@pytest.mark.slow
def test_seeds_trained_in_parallel_killed_and_resumed_give_the_same_bits_as_in_turn(
    project: Project, tmp_path: Path
) -> None:
    project.edit("conf/train/default.yaml", "epochs: 2\n", f"epochs: {EPOCHS}\n")
    project.edit("conf/config.yaml", "seeds: [42]", "seeds: [42, 43, 44]")
    seeds = [
        Training("lstm", "seqmnist", f"lstm-seed-{seed}", f"seed={seed} {{}}/{EPOCHS - 1} ", EPOCHS, seed)
        for seed in (42, 43, 44)
    ]
    in_turn = project.copy(tmp_path / "in turn")
    in_turn.edit("conf/config.yaml", "workers: auto", "workers: 1")
    in_turn.succeed("dvc", "repro", LSTM.stage)
    project.edit("conf/config.yaml", "workers: auto", "workers: 2")
    seeds[0].kill(project, epoch=10)
    assert seeds[1].runs(project) != [], "only one seed was being trained"
    assert seeds[2].runs(project) == []

    result = project.succeed("dvc", "repro", LSTM.stage)

    assert re.search(r"^train@lstm seed=42: resuming at epoch 1\d$", result.output, re.MULTILINE)
    for training in seeds:
        training.assert_as_if_never_stopped(project, in_turn)


@pytest.mark.slow
def test_training_on_one_core_gives_the_same_bits(project: Project) -> None:
    before = {path: (project.root / path).read_bytes() for path in ("models/lstm/seed-42.weights.h5",)}
    core = min(os.sched_getaffinity(0))
    command = ["taskset", "--cpu-list", str(core), "python", "-m", "seqmnist.stages.train", "lstm"]
    project.succeed(*command, PYTHONPATH="src")
    for path, content in before.items():
        assert (project.root / path).read_bytes() == content
