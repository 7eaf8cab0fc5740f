from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, log_loss

from seqmnist.cells.model import build
from seqmnist.config import Cell, Sequence, SplitName, Train
from seqmnist.data.splits import Split
from seqmnist.randomness import generator
from seqmnist.training.graph import (
    ScoringGraph,
    TrainingGraph,
    count_right,
    score_logits,
    smoothed_cross_entropy,
    split_rows,
)

Kind = Literal["rnn", "lstm"]
Splits = dict[SplitName, Split]
Models = Callable[[], Any]


def run_batches(
    graph: TrainingGraph, order: list[int], bounds: list[int], rate: float = 0.01
) -> tuple[list[float], list[int]]:
    """Train on batches; without the bias correction of Adam, whose powers are another test's."""
    count = len(bounds) - 1
    losses, right = graph.run(
        np.array(order, np.int32),
        np.array(bounds, np.int32),
        np.full((count, 4), [rate, 0, 0, 0], np.float32),
        np.zeros((0, 6), np.float32),
    )
    return losses.tolist(), right.tolist()


def weights_after(split: Split, recipe: Train, shards: int, kind: Kind) -> NDArray[np.float32]:
    """All weights in one row, after a very long step on a batch of 31 images."""
    model = build(Cell(type=kind, units=8, shards=1, train={}), Sequence(view="rows"), seed=3)
    run_batches(TrainingGraph(model, split, recipe, shards), list(range(31)), [0, 31], rate=1e9)
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


def random_logits(count: int, scale: float = 3.0) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    random = generator(1, "logits")
    logits = random.normal(0, scale, (count, 10)).astype(np.float32)
    return logits, random.integers(0, 10, count).astype(np.uint8)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    odds = np.exp(logits.astype(np.float64))
    probabilities: NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
    return probabilities


def test_images_of_the_split_are_not_copied(recipe: Train, dense_model: Models) -> None:
    images = np.zeros((300_000, 28, 28), np.uint8)  # 235 MB
    split = Split(images, np.zeros(len(images), np.uint8))
    before = psutil.Process().memory_info().rss
    run_batches(TrainingGraph(dense_model(), split, recipe, shards=2), list(range(200)), [0, 100, 200])
    assert psutil.Process().memory_info().rss - before < images.nbytes / 2


@pytest.mark.parametrize(
    ("kind", "shards", "smoothing"),
    [("rnn", 2, 0.0), ("rnn", 5, 0.1), ("lstm", 2, 0.0)],
    ids=["rnn", "smoothed", "lstm"],
)
def test_a_step_in_shards_is_the_step_of_the_whole_batch(
    stripes: Splits, recipe: Train, kind: Kind, shards: int, smoothing: float
) -> None:
    # With an epsilon of this size a step is proportional to the gradient, and so large that the old weights are lost.
    coarse = recipe.model_copy(update={"epsilon": 1e3, "label_smoothing": smoothing})

    whole, sharded = (weights_after(stripes["train"], coarse, count, kind) for count in (1, shards))

    assert np.abs(whole).max() > 1e3
    np.testing.assert_allclose(sharded, whole, rtol=1e-5, atol=1e-5 * np.abs(whole).max())


def test_losses_and_hits_are_those_before_the_update(stripes: Splits, recipe: Train, dense_model: Models) -> None:
    train, model = stripes["train"], dense_model()
    graph = TrainingGraph(model, train, recipe, shards=2)
    before = model(train.images[:31]).numpy()

    losses, right = run_batches(graph, list(range(31)), [0, 31])

    labels = train.labels[:31]
    assert losses == [pytest.approx(log_loss(labels, softmax(before)), rel=1e-5)]
    assert right == [int((before.argmax(axis=1) == labels).sum())]
    assert (model(train.images[:31]).numpy() != before).any()


def test_a_batch_is_the_images_between_its_bounds(stripes: Splits, recipe: Train, dense_model: Models) -> None:
    train, model = stripes["train"], dense_model()
    graph = TrainingGraph(model, train, recipe, shards=2)
    rows = [60, 3, 3, 17, 42]
    expected = [
        log_loss([train.labels[row]], softmax(model(train.images[[row]]).numpy()), labels=range(10)) for row in rows
    ]

    losses, _ = run_batches(graph, rows, [0, 2, 5], rate=0.0)

    np.testing.assert_allclose(losses, [np.mean(expected[:2]), np.mean(expected[2:])], rtol=1e-5)


def test_one_call_of_many_batches_is_many_calls_of_one(stripes: Splits, recipe: Train, dense_model: Models) -> None:
    models = dense_model(), dense_model()
    together, apart = (TrainingGraph(model, stripes["train"], recipe, shards=2) for model in models)

    results = run_batches(together, list(range(30)), [0, 10, 19, 30])
    single = [run_batches(apart, list(range(30)), bounds) for bounds in ([0, 10], [10, 19], [19, 30])]

    assert results[0] == [loss for losses, _ in single for loss in losses]
    assert results[1] == [hits for _, right in single for hits in right]
    for weight, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(weight, other)


def test_an_image_is_moved_by_its_own_map(stripes: Splits, recipe: Train, dense_model: Models) -> None:
    train, model = stripes["train"], dense_model()
    moving = recipe.model_copy(update={"shift": 9.0})
    graph = TrainingGraph(model, train, moving, shards=2)
    left = np.arange(70) % 3  # columns, by the image's number
    maps = np.zeros((70, 6), np.float32)
    maps[:, 0] = maps[:, 4] = 1
    maps[:, 2] = left
    rows = [60, 3, 17, 42, 8]
    images = np.stack([np.pad(train.images[row], ((0, 0), (0, 2)))[:, left[row] : left[row] + 28] for row in rows])
    before = model(images).numpy()
    steps = np.array([[0.0, 0, 0, 0]], np.float32)

    losses, _ = graph.run(np.array(rows, np.int32), np.array([0, 5], np.int32), steps, maps)

    assert losses.tolist() == [pytest.approx(log_loss(train.labels[rows], softmax(before), labels=range(10)), rel=1e-5)]


def test_the_average_takes_the_place_of_the_weights_for_a_while(
    stripes: Splits, recipe: Train, dense_model: Models
) -> None:
    model = dense_model()
    start = model.get_weights()
    averaging = recipe.model_copy(update={"averaging": 0.75})
    graph = TrainingGraph(model, stripes["train"], averaging, shards=2)
    steps = np.array([[0.01, 0, 0, 0.75]], np.float32)

    graph.run(np.arange(31, dtype=np.int32), np.array([0, 31], np.int32), steps, np.zeros((0, 6), np.float32))

    own = model.get_weights()
    with graph.averaged():
        for weight, average, one, other in zip(model.get_weights(), graph.weights(), start, own, strict=True):
            np.testing.assert_array_equal(weight, average)
            np.testing.assert_allclose(average, 0.75 * one + 0.25 * other, rtol=1e-5, atol=1e-8)
            assert (one != other).any()
    for weight, other in zip(model.get_weights(), own, strict=True):
        np.testing.assert_array_equal(weight, other)


def test_without_an_average_the_weights_stay(stripes: Splits, recipe: Train, dense_model: Models) -> None:
    model = dense_model()
    graph = TrainingGraph(model, stripes["train"], recipe, shards=1)
    run_batches(graph, [0, 1, 2], [0, 3])
    own = model.get_weights()
    with graph.averaged():
        for weight, given, other in zip(model.get_weights(), graph.weights(), own, strict=True):
            np.testing.assert_array_equal(weight, other)
            np.testing.assert_array_equal(given, other)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_label_smoothing_is_that_of_keras(smoothing: float) -> None:
    import keras
    import tensorflow as tf

    logits, labels = random_logits(20)

    losses = smoothed_cross_entropy(tf.constant(labels.astype(np.int32)), tf.constant(logits), smoothing)

    reference = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing, reduction=None)
    np.testing.assert_allclose(losses, reference(np.eye(10)[labels], logits), rtol=1e-5)


def test_right_are_the_rows_whose_largest_logit_is_the_labels() -> None:
    import tensorflow as tf

    logits, labels = random_logits(200, scale=1.0)
    labels[:50] = logits[:50].argmax(axis=1)

    right = count_right(tf.constant(labels.astype(np.int32)), tf.constant(logits))

    assert right.dtype == tf.int32
    assert int(right) == accuracy_score(labels, logits.argmax(axis=1), normalize=False) >= 50


@pytest.mark.parametrize("count", [1, 7, 1009])
def test_scores_are_those_of_scikit_learn(count: int) -> None:
    logits, labels = random_logits(count)

    loss, accuracy = score_logits(logits, labels)

    assert loss == pytest.approx(log_loss(labels, softmax(logits), labels=range(10)), rel=1e-9)
    assert accuracy == accuracy_score(labels, logits.argmax(axis=1))


def test_the_loss_of_huge_logits_is_finite() -> None:
    logits = np.full((1, 10), -1e30, np.float32)
    logits[0, 3] = 1e30

    assert score_logits(logits, np.array([3], np.uint8)) == (0.0, 1.0)
    loss, accuracy = score_logits(logits, np.array([4], np.uint8))
    assert (loss, accuracy) == (float(2 * np.float32(1e30)), 0.0)


@pytest.mark.parametrize("count", [1, 2, 13, 1000, 1009])
@pytest.mark.parametrize("shards", [1, 3])
def test_scoring_gives_each_image_the_models_logits(dense_model: Models, shards: int, count: int) -> None:
    model = dense_model()
    random = generator(2, "images")
    split = Split(
        random.integers(0, 256, (count, 28, 28)).astype(np.uint8), random.integers(0, 10, count).astype(np.uint8)
    )
    graph = ScoringGraph(model, shards)

    logits = graph.logits(split.images)

    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, model(split.images).numpy(), atol=1e-6)
    assert graph.score(split) == score_logits(logits, split.labels)


def test_scoring_sees_new_weights(dense_model: Models) -> None:
    model, images = dense_model(), np.zeros((1, 28, 28), np.uint8)
    graph = ScoringGraph(model, shards=1)
    bias: Any = np.arange(10, dtype=np.float32)

    before = graph.logits(images)
    model.get_layer("logits").bias.assign_add(bias)

    np.testing.assert_allclose(graph.logits(images) - before, bias[None], atol=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 40), st.integers(1, 8))
def test_shards_are_the_rows_in_parts_of_nearly_one_size(count: int, shards: int) -> None:
    import tensorflow as tf

    parts = [part.numpy().tolist() for part in split_rows(tf.range(count), shards)]

    lengths = [len(part) for part in parts]
    assert len(parts) == shards
    assert [row for part in parts for row in part] == list(range(count))
    assert max(lengths) - min(lengths) <= 1
