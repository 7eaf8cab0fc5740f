from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, log_loss

from seqmnist.cells.model import build
from seqmnist.config import Cell, Sequence, SplitName, Train
from seqmnist.data.splits import Split
from seqmnist.training import trainer
from seqmnist.training.batches import epoch_batches
from seqmnist.training.graph import ScoringGraph
from seqmnist.training.history import METRICS, Row, selected
from seqmnist.training.trainer import DivergedError, Epoch, Trainer

if TYPE_CHECKING:
    import keras

Kind = Literal["rnn", "lstm"]
Splits = dict[SplitName, Split]
Models = Callable[[], Any]
Trained = tuple[list[NDArray[np.float32]], list[Epoch]]
SEED = 5


def trainer_of(model: "keras.Model", splits: Splits, recipe: Train, seed: int = SEED) -> Trainer:
    return Trainer(model, splits, recipe, seed=seed, shards=2, progress=lambda _: None)


def train(model: "keras.Model", splits: Splits, recipe: Train, seed: int = SEED) -> Trained:
    epochs = list(trainer_of(model, splits, recipe, seed).epochs())
    return model.get_weights(), epochs


def recurrent_model(kind: Kind) -> "keras.Model":
    return build(Cell(type=kind, units=8, shards=2, train={}), Sequence(view="rows"), SEED)


def figures(model: "keras.Model", split: Split) -> tuple[float, float]:
    """Loss and accuracy, by scikit-learn."""
    logits = model(split.images).numpy()
    odds = np.exp(logits.astype(np.float64))
    loss = log_loss(split.labels, odds / odds.sum(axis=1, keepdims=True), labels=range(10))
    return float(loss), float(accuracy_score(split.labels, logits.argmax(axis=1)))


def state_of(training: Trainer, folder: Path) -> bytes:
    """All that the next epoch depends on, as it is saved."""
    folder.mkdir()
    training.save(folder)
    (file,) = folder.iterdir()
    return file.read_bytes()


def assert_same_bits(first: list[NDArray[np.float32]], second: list[NDArray[np.float32]]) -> None:
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def long_recipe(recipe: Train) -> Train:
    return recipe.model_copy(update={"epochs": 25, "learning_rate": 0.02})


@pytest.fixture(scope="module", params=get_args(Kind))
def learnt(request: pytest.FixtureRequest, stripes: Splits, long_recipe: Train) -> tuple[Kind, Trained]:
    kind: Kind = request.param
    return kind, train(recurrent_model(kind), stripes, long_recipe)


def test_a_plain_problem_is_learnt(learnt: tuple[Kind, Trained]) -> None:
    _, (_, epochs) = learnt

    first, last = epochs[0].metrics, epochs[-1].metrics
    assert last["train.loss"] < first["train.loss"] / 2
    assert last["train.accuracy"] == last["val.accuracy"] == last["test.accuracy"] == 1
    assert [epoch.number for epoch in epochs] == list(range(25))


def test_training_again_gives_the_same_bits(
    learnt: tuple[Kind, Trained], stripes: Splits, long_recipe: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, (weights, epochs) = learnt
    monkeypatch.setattr(trainer, "_CALL_SECONDS", 0.0)  # a call for each batch

    same_weights, same_epochs = train(recurrent_model(kind), stripes, long_recipe)

    assert_same_bits(weights, same_weights)
    assert [epoch.metrics for epoch in epochs] == [epoch.metrics for epoch in same_epochs]


def test_the_length_of_the_graph_calls_changes_no_bit(
    stripes: Splits, recipe: Train, dense_model: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {"batch_size": 3, "schedule": "cosine", "averaging": 0.9, "shift": 2.0}
    small_batches = recipe.model_copy(update=changed)
    results = []
    for seconds in (0.0, 1e9, 0.4):  # one batch a call; four times as many at each call; measured
        monkeypatch.setattr(trainer, "_CALL_SECONDS", seconds)
        training = trainer_of(dense_model(), stripes, small_batches)
        epochs = list(training.epochs())
        results.append((state_of(training, tmp_path / str(seconds)), epochs))

    state, epochs = results[0]
    for same_state, same_epochs in results[1:]:
        assert same_state == state
        assert [epoch.metrics for epoch in epochs] == [epoch.metrics for epoch in same_epochs]


@pytest.mark.parametrize("call_seconds", [0.0, 1e9], ids=["one batch a call", "growing calls"])
def test_progress_counts_every_batch_once(
    stripes: Splits, recipe: Train, dense_model: Models, monkeypatch: pytest.MonkeyPatch, call_seconds: float
) -> None:
    monkeypatch.setattr(trainer, "_CALL_SECONDS", call_seconds)
    done: list[int] = []
    small_batches = recipe.model_copy(update={"batch_size": 3})

    list(Trainer(dense_model(), stripes, small_batches, seed=1, shards=2, progress=done.append).epochs())

    assert sum(done) == 2 * (70 // 3)
    assert (max(done) == 1) == (call_seconds == 0)


def test_another_seed_gives_another_order_and_so_other_weights(
    stripes: Splits, recipe: Train, dense_model: Models
) -> None:
    weights, _ = train(dense_model(), stripes, recipe)

    others, _ = train(dense_model(), stripes, recipe, seed=SEED + 1)

    assert all((one != other).any() for one, other in zip(weights, others, strict=True))


def test_an_epoch_has_the_metrics_of_the_history_and_its_speed(
    stripes: Splits, recipe: Train, dense_model: Models
) -> None:
    _, epochs = train(dense_model(), stripes, recipe)

    for epoch in epochs:
        assert tuple(epoch.metrics) == METRICS
        assert epoch.examples_per_second == pytest.approx(70 / epoch.seconds)


def test_validation_and_test_are_scored_after_each_epoch(stripes: Splits, recipe: Train, dense_model: Models) -> None:
    model = dense_model()

    for epoch in trainer_of(model, stripes, recipe).epochs():
        for prefix, split in (("val", stripes["validation"]), ("test", stripes["test"])):
            loss, accuracy = figures(model, split)
            assert epoch.metrics[f"{prefix}.loss"] == pytest.approx(loss, rel=1e-5)
            assert epoch.metrics[f"{prefix}.accuracy"] == accuracy


@pytest.mark.parametrize("batch_size", [16, 9, 70])
def test_training_figures_are_means_over_images_not_over_batches(
    stripes: Splits, recipe: Train, dense_model: Models, batch_size: int
) -> None:
    model = dense_model()
    loss, accuracy = figures(model, stripes["train"])
    # Steps too small to change a weight leave one model for all batches.
    still = recipe.model_copy(update={"batch_size": batch_size, "learning_rate": 1e-15, "epochs": 1})

    [epoch] = trainer_of(model, stripes, still).epochs()

    assert epoch.metrics["train.loss"] == pytest.approx(loss, rel=1e-6)
    assert epoch.metrics["train.accuracy"] == accuracy


def test_training_figures_are_taken_before_the_update_and_the_last_batchs_after_it(
    stripes: Splits, recipe: Train, dense_model: Models
) -> None:
    model = dense_model()
    one_batch = recipe.model_copy(update={"batch_size": 70, "learning_rate": 0.1})
    before = figures(model, stripes["train"])

    epoch = next(trainer_of(model, stripes, one_batch).epochs())

    after = figures(model, stripes["train"])
    assert before[1] != after[1]
    assert epoch.metrics["train.loss"] == pytest.approx(before[0], rel=1e-6)
    assert epoch.metrics["train.accuracy"] == before[1]
    assert epoch.metrics["train.last_batch_accuracy"] == after[1]


def test_the_last_batch_is_the_last_of_the_epochs_order(stripes: Splits, recipe: Train, dense_model: Models) -> None:
    model = dense_model()
    train_split = stripes["train"]

    for epoch in trainer_of(model, stripes, recipe.model_copy(update={"epochs": 4})).epochs():
        batches = epoch_batches(70, recipe.batch_size, SEED, epoch.number)
        last = batches.order[batches.bounds[-2] :]
        _, accuracy = figures(model, Split(train_split.images[last], train_split.labels[last]))
        assert epoch.metrics["train.last_batch_accuracy"] == accuracy


@pytest.mark.parametrize("name", ["validation", "test"])
def test_only_the_training_split_makes_the_weights(
    stripes: Splits, recipe: Train, dense_model: Models, name: SplitName
) -> None:
    weights, epochs = train(dense_model(), stripes, recipe)
    split = stripes[name]
    changed = stripes | {name: Split(255 - split.images, (split.labels + 1) % 10)}

    same, other_epochs = train(dense_model(), changed, recipe)

    assert_same_bits(weights, same)
    key = {"validation": "val.loss", "test": "test.loss"}[name]
    differing = {key for key in METRICS if epochs[-1].metrics[key] != other_epochs[-1].metrics[key]}
    assert key in differing
    assert differing <= {key, key.replace("loss", "accuracy")}


@pytest.mark.parametrize("call_seconds", [0.0, 1e9], ids=["one batch a call", "growing calls"])
def test_a_loss_that_is_no_number_ends_the_training_at_its_batch(
    stripes: Splits, recipe: Train, dense_model: Models, monkeypatch: pytest.MonkeyPatch, call_seconds: float
) -> None:
    monkeypatch.setattr(trainer, "_CALL_SECONDS", call_seconds)
    # The first step leaves weights so large that the second batch's logits overflow.
    wild = recipe.model_copy(update={"learning_rate": 1e38})
    done: list[int] = []
    epochs = Trainer(dense_model(), stripes, wild, seed=SEED, shards=2, progress=done.append).epochs()

    with pytest.raises(DivergedError, match=r"in epoch 0, batch 1; lower learning_rate \(now 1e\+38\)") as caught:
        next(epochs)

    assert "\n" not in str(caught.value)
    assert done == [1]


def test_a_later_epoch_is_named_too(stripes: Splits, recipe: Train, dense_model: Models) -> None:
    model = dense_model()
    epochs = trainer_of(model, stripes, recipe).epochs()
    next(epochs)
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])

    with pytest.raises(DivergedError, match=r"the loss is nan in epoch 1, batch 0;"):
        next(epochs)


def test_a_last_update_that_diverges_is_noticed(stripes: Splits, recipe: Train, dense_model: Models) -> None:
    wild = recipe.model_copy(update={"epochs": 1, "batch_size": 70, "learning_rate": 1e38})

    with pytest.raises(DivergedError, match="the loss is nan on the validation images after epoch 0"):
        next(trainer_of(dense_model(), stripes, wild).epochs())


def test_the_cosine_schedule_spans_all_epochs(stripes: Splits, recipe: Train, dense_model: Models) -> None:
    cosine = recipe.model_copy(update={"schedule": "cosine", "epochs": 3, "batch_size": 35})
    weights: list[NDArray[np.float32]] = []
    model = dense_model()

    moved = []
    for _ in trainer_of(model, stripes, cosine).epochs():
        now = model.get_weights()
        if weights:
            moved.append(max(np.abs(one - other).max() for one, other in zip(now, weights, strict=True)))
        weights = now

    assert moved[1] < moved[0] / 2


def best_of(epochs: list[Epoch]) -> Row:
    return selected([Row(SEED, epoch.number, epoch.metrics) for epoch in epochs])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("stop", [0, 3, 5])
def test_a_training_that_is_loaded_goes_on_as_if_it_had_not_been_stopped(
    kind: Any, stop: int, stripes: Splits, recipe: Train, tmp_path: Path
) -> None:
    changed = {"epochs": 6, "schedule": "cosine", "clip_norm": 1.0, "averaging": 0.9}
    moves = {"shift": 2.0, "rotation": 10.0, "zoom": 0.1, "shear": 10.0}
    recipe = recipe.model_copy(update=changed | moves)
    straight_model, model = recurrent_model(kind), recurrent_model(kind)
    straight = trainer_of(straight_model, stripes, recipe)
    expected = list(straight.epochs())

    stopped = trainer_of(recurrent_model(kind), stripes, recipe)
    epochs = list(islice(stopped.epochs(), stop + 1))
    stopped.save(tmp_path)
    going_on = trainer_of(model, stripes, recipe)
    going_on.load(tmp_path)
    epochs += going_on.epochs(first=stop + 1)

    assert [(epoch.number, epoch.metrics) for epoch in epochs] == [(epoch.number, epoch.metrics) for epoch in expected]
    assert state_of(going_on, tmp_path / "on") == state_of(straight, tmp_path / "straight")
    for one in (straight, going_on):
        one.select()
    assert_same_bits(model.get_weights(), straight_model.get_weights())


def test_the_selected_weights_are_those_of_the_best_epoch(stripes: Splits, recipe: Train, dense_model: Models) -> None:
    model, states, epochs = dense_model(), [], []
    training = trainer_of(model, stripes, recipe.model_copy(update={"epochs": 8, "learning_rate": 0.3}))
    for epoch in training.epochs():
        epochs.append(epoch)
        states.append(model.get_weights())

    training.select()

    best = best_of(epochs)
    assert best.epoch < 7, "the last epoch is not the best, or this shows nothing"
    assert_same_bits(model.get_weights(), states[best.epoch])


def test_the_selected_weights_are_the_averages_that_were_scored(stripes: Splits, recipe: Train) -> None:
    model = recurrent_model("rnn")
    changed = {"epochs": 5, "averaging": 0.9, "learning_rate": 0.02}
    training = trainer_of(model, stripes, recipe.model_copy(update=changed))
    best = best_of(list(training.epochs()))

    training.select()

    loss, accuracy = ScoringGraph(model, 2).score(stripes["test"])
    assert (loss, accuracy) == (best.metrics["test.loss"], best.metrics["test.accuracy"])
