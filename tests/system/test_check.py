"""Damaged data and weights are refused by stages and repaired by `seqmnist check --repair` and `dvc repro`."""

from typing import Any

import pytest

from tests.damage import cache_entry, damage_file

pytestmark = pytest.mark.slow

WEIGHTS = "models/rnn/seed-42.weights.h5"


def test_damaged_data_are_refused_and_after_a_repair_made_again_with_the_same_hashes(project: Any) -> None:
    before = project.output_hashes()
    for name in (WEIGHTS, "data/processed/test.labels.npy"):
        damage_file(cache_entry(project, name), "flip the end")
        (project.root / name).unlink()
    assert project.run("dvc", "checkout").code == 0

    refused = project.run("python", "-m", "seqmnist.stages.evaluate", PYTHONPATH="src")
    assert refused.code == 1
    assert refused.output.splitlines()[-1] == (
        "error: data/processed: the test split is not the one that splits.json has the SHA-256 of: "
        "run `seqmnist check --repair`, then `dvc repro`"
    )
    project.succeed("python", "-m", "seqmnist", "check", "--repair", PYTHONPATH="src")

    assert project.succeed("dvc", "repro").stages_run == ["preprocess", "train@rnn"]
    assert project.output_hashes() == before
