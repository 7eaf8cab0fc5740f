from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqmnist.cells.model import build
from seqmnist.config import Cell, Sequence, SplitName, Train
from seqmnist.data.splits import Split
from seqmnist.training.checkpoints import Checkpoints
from seqmnist.training.fitting import fit
from seqmnist.training.graph import ScoringGraph
from seqmnist.training.history import Row, selected
from seqmnist.training.trainer import Epoch, Trainer

Splits = dict[SplitName, Split]


class StopError(Exception):
    """Stands for whatever ends a process."""


def fit_model(
    kind: str, splits: Splits, recipe: Train, keep: Checkpoints, report: Callable[[Epoch], object] = lambda _: None
) -> tuple[Any, list[Row]]:
    model = build(Cell.model_validate({"type": kind, "units": 5, "shards": 2, "train": {}}), Sequence(view="rows"), 3)
    trainer = Trainer(model, splits, recipe, seed=3, shards=2, progress=lambda _: None)
    rows = fit(trainer, model, seed=3, keep=keep, last=keep.load(), run_id="run", report=report)
    return model.get_weights(), rows


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("stop", [0, 3, 5])
def test_a_stopped_training_goes_on_as_if_it_had_not_been(
    kind: str, stop: int, stripes: Splits, recipe: Train, tmp_path: Path
) -> None:
    changed = {"epochs": 6, "schedule": "cosine", "clip_norm": 1.0, "averaging": 0.9}
    moves = {"shift": 2.0, "rotation": 10.0, "zoom": 0.1, "shear": 10.0}
    recipe = recipe.model_copy(update=changed | moves)
    with Checkpoints(tmp_path / "straight", "key") as keep:
        weights, rows = fit_model(kind, stripes, recipe, keep)

    def stopping(epoch: Epoch) -> None:
        if epoch.number == stop:
            raise StopError

    with Checkpoints(tmp_path / "stopped", "key") as keep, pytest.raises(StopError):
        fit_model(kind, stripes, recipe, keep, stopping)
    reported: list[Epoch] = []
    with Checkpoints(tmp_path / "stopped", "key") as keep:
        same_weights, same_rows = fit_model(kind, stripes, recipe, keep, reported.append)

    assert [epoch.number for epoch in reported] == list(range(stop + 1, 6))
    assert same_rows == rows
    for one, other in zip(same_weights, weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_model_ends_with_the_weights_of_the_selected_epoch(stripes: Splits, recipe: Train, tmp_path: Path) -> None:
    recipe = recipe.model_copy(update={"epochs": 8, "learning_rate": 0.3})
    states = []
    with Checkpoints(tmp_path, "key") as keep:

        def remember(_epoch: Epoch) -> None:
            last = keep.load()
            assert last is not None
            states.append(last.state)

        weights, rows = fit_model("rnn", stripes, recipe, keep, remember)

    best = selected(rows)
    assert best.epoch < 7, "the last epoch is not the best, or this shows nothing"
    for one, other in zip(weights, states[best.epoch], strict=False):
        np.testing.assert_array_equal(one, other)


def test_the_model_ends_with_the_averages_that_were_scored(stripes: Splits, recipe: Train, tmp_path: Path) -> None:
    recipe = recipe.model_copy(update={"epochs": 5, "averaging": 0.9, "learning_rate": 0.02})
    model = build(Cell(type="rnn", units=5, shards=2, train={}), Sequence(view="rows"), 3)
    trainer = Trainer(model, stripes, recipe, seed=3, shards=2, progress=lambda _: None)
    with Checkpoints(tmp_path, "key") as keep:
        rows = fit(trainer, model, seed=3, keep=keep, last=None, run_id="run", report=lambda _: None)

    loss, accuracy = ScoringGraph(model, 2).score(stripes["test"])
    best = selected(rows)
    assert (loss, accuracy) == (best.metrics["test.loss"], best.metrics["test.accuracy"])
