from typing import Any, Literal, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from seqmnist.cells.model import build, exported, permutation, view
from seqmnist.config import Cell, Sequence
from seqmnist.randomness import generator

Kind = Literal["rnn", "lstm"]
View = Literal["rows", "columns", "pixels", "permuted_pixels"]
Array = NDArray[Any]
KINDS, VIEWS = get_args(Kind), get_args(View)
ROWS = Sequence(view="rows")


def sigmoid(z: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-z))
    return result


def small(kind: Kind, units: int = 8) -> Cell:
    return Cell(type=kind, units=units, shards=1, train={})


def random_images(count: int) -> NDArray[np.uint8]:
    return generator(0, "images").integers(0, 256, (count, 28, 28)).astype(np.uint8)


def as_sequence(pixels: Array, name: View) -> Array:
    match name:
        case "rows":
            return pixels
        case "columns":
            return np.swapaxes(pixels, 1, 2)
        case "pixels":
            return pixels.reshape(-1, 784, 1)
        case "permuted_pixels":
            return pixels.reshape(-1, 784)[:, permutation(), None]


def reference_logits(kind: Kind, sequence: Array, weights: list[Array]) -> Array:
    """The textbook's equations, step by step in float64; Keras keeps an LSTM's gates in the order i, f, c, o."""
    kernel, recurrent, bias, dense, dense_bias = (weight.astype(np.float64) for weight in weights)
    h = c = np.zeros((len(sequence), len(recurrent)))
    for step in range(sequence.shape[1]):
        z = sequence[:, step] @ kernel + h @ recurrent + bias
        if kind == "rnn":
            h = np.tanh(z)
        else:
            i, f, g, o = np.split(z, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
    logits: Array = h @ dense + dense_bias
    return logits


@pytest.mark.parametrize(("kind", "cell_weights"), [("rnn", 26_850), ("lstm", 107_400)], ids=KINDS)
def test_150_units_have_the_published_number_of_weights(kind: Kind, cell_weights: int) -> None:
    model = build(small(kind, units=150), ROWS, seed=42)

    counts = {layer.name: layer.count_params() for layer in model.layers}

    assert counts["cell"] == cell_weights
    assert counts["logits"] == 1_510
    assert model.count_params() == cell_weights + 1_510


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("kind", KINDS)
def test_logits_follow_the_equations_of_the_cell(kind: Kind, name: View) -> None:
    model = build(small(kind), Sequence(view=name), seed=1)
    random = np.random.default_rng(2)
    model.set_weights([random.normal(0, 0.2, weight.shape) for weight in model.get_weights()])
    images = random_images(5)

    logits = model(images).numpy()

    expected = reference_logits(kind, as_sequence(images / 255, name), model.get_weights())
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=2e-5)


@pytest.mark.parametrize("name", VIEWS)
def test_each_view_reorders_the_pixels(name: View) -> None:
    pixels = np.arange(2 * 784, dtype=np.float32).reshape(2, 28, 28)

    sequence = np.asarray(view(pixels, Sequence(view=name)))

    np.testing.assert_array_equal(sequence, as_sequence(pixels, name))


def test_columns_begin_with_the_left_edge() -> None:
    pixels = np.zeros((1, 28, 28), np.float32)
    pixels[0, :, 0] = 1

    sequence = np.asarray(view(pixels, Sequence(view="columns")))

    assert sequence[0].sum(axis=1).tolist() == [28] + [0] * 27


def test_the_permutation_reads_each_pixel_once_in_one_fixed_order() -> None:
    order = permutation()

    assert sorted(order) == list(range(784))
    assert order[:8] == [322, 246, 164, 738, 725, 220, 14, 677]


@pytest.mark.parametrize("kind", KINDS)
def test_fresh_weights_depend_on_the_seed_alone(kind: Kind) -> None:
    first, again, other = (build(small(kind), ROWS, seed).get_weights() for seed in (3, 3, 4))

    for weight, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(weight, same)
    kernels = [0, 1, 3]
    assert all((first[index] != other[index]).all() for index in kernels)


@pytest.mark.parametrize(("kind", "gates"), [("rnn", 1), ("lstm", 4)], ids=KINDS)
def test_fresh_weights_are_glorot_uniform_and_orthogonal(kind: Kind, gates: int) -> None:
    kernel, recurrent, bias, dense, dense_bias = build(small(kind, units=12), ROWS, seed=5).get_weights()

    for weight in (kernel, dense):
        limit = np.sqrt(6 / sum(weight.shape))
        assert 0.9 * limit < np.abs(weight).max() <= limit
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(12), atol=1e-6)
    forget = [0] * 12 + [1] * 12 + [0] * 24
    assert bias.tolist() == (forget if gates == 4 else [0] * 12)
    assert dense_bias.tolist() == [0] * 10


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    model = build(small("rnn"), ROWS, seed=6)
    images = random_images(7)

    probabilities = exported(model, small("rnn"), ROWS)(images).numpy()

    assert probabilities.shape == (7, 10)
    odds = np.exp(model(images).numpy())
    np.testing.assert_allclose(probabilities, odds / odds.sum(axis=1, keepdims=True), rtol=1e-5)
