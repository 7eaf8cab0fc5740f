from typing import Any

import numpy as np
import pytest

from seqmnist.data.splits import Split
from seqmnist.randomness import generator
from tests.seqmnist.measure.small_models import images, model_of

pytestmark = pytest.mark.usefixtures("tensorflow")


def accuracies(model: Any, digits: np.ndarray, answers: np.ndarray, *extra: int, shards: int = 2) -> dict[Any, float]:
    from seqmnist.measure.memory import accuracies_after

    return accuracies_after(model, Split(digits, answers.argmax(axis=1).astype(np.uint8)), shards, extra)


@pytest.mark.parametrize("view", ["rows", "columns", "pixels"])
def test_no_rows_after_the_digit_change_nothing(view: str) -> None:
    model, digits = model_of("rnn", view), images(30)
    assert accuracies(model, digits, np.asarray(model(digits)), 0) == {("blank", 0): 1.0, ("noise", 0): 1.0}


@pytest.mark.parametrize(("kind", "rows"), [("rnn", 61), ("lstm", 28), ("gru", 5)])
def test_rows_are_read_on_from_the_digit(kind: str, rows: int) -> None:
    model, digits = model_of(kind, scale=2.0), images(1100)
    cell, logits = model.get_layer("cell"), model.get_layer("logits")
    random = generator(28, "noise rows after a digit")
    noise = np.concatenate([random.random((count, rows, 28), np.float32) for count in (1000, 100)])
    for name, after in (("blank", np.zeros_like(noise)), ("noise", noise)):
        longer = np.concatenate([(digits / 255).astype(np.float32), after], axis=1)
        found = accuracies(model, digits, np.asarray(logits(cell(longer))), 3, rows, shards=3)
        assert found[name, rows] == 1.0
        assert found[name, 3] < 1.0
