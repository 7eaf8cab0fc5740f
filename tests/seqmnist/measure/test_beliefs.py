from typing import Any

import numpy as np
import pytest

from seqmnist.config import Cell, Sequence
from seqmnist.measure.beliefs import beliefs, example_digits, gates

pytestmark = pytest.mark.usefixtures("tensorflow")


def model_of(kind: str) -> Any:
    from seqmnist.cells.model import build

    return build(Cell.model_validate({"type": kind, "units": 4, "shards": 1, "train": {}}), Sequence(view="rows"), 1)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_the_last_belief_is_the_models_answer_and_each_is_a_distribution(kind: str) -> None:
    model = model_of(kind)
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.uint8)
    after = beliefs(model, images)
    assert after.shape == (3, 28, 10)
    np.testing.assert_allclose(after.sum(axis=2), 1, rtol=1e-5)
    logits = np.asarray(model(images), np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(after[:, -1], expected, rtol=1e-4)


def test_a_belief_does_not_depend_on_rows_to_come() -> None:
    model = model_of("rnn")
    images = np.random.default_rng(0).integers(0, 256, (1, 28, 28)).astype(np.uint8)
    other = images.copy()
    other[:, 10:] = 0
    np.testing.assert_array_equal(beliefs(model, images)[:, :10], beliefs(model, other)[:, :10])


def test_gates_lie_between_0_and_1_for_every_row_and_unit() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28)).astype(np.uint8)
    found = gates(model_of("lstm"), images)
    assert list(found) == ["i", "f", "o"]
    for gate in found.values():
        assert gate.shape == (2, 28, 4)
        assert ((gate > 0) & (gate < 1)).all()


def test_examples_are_the_first_of_each_digit_that_is_there() -> None:
    assert example_digits(np.array([7, 2, 2, 7, 4], np.uint8)) == [1, 4, 0]
