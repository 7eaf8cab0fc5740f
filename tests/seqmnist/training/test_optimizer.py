from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqmnist.config import Train
from seqmnist.training.optimizer import Adam, step_values

Array = NDArray[np.float32]
SHAPES = [(5, 4), (4,), (4, 3)]


def random_arrays(seed: int, scale: float = 1.0) -> list[Array]:
    random = np.random.default_rng(seed)
    return [random.normal(0, scale, shape).astype(np.float32) for shape in SHAPES]


def adam_steps(recipe: Train, gradients: list[list[Array]]) -> list[Array]:
    """The weights, at first 1, after a step with each of the gradients."""
    import keras
    import tensorflow as tf

    weights = [keras.Variable(np.ones(shape, np.float32)) for shape in SHAPES]
    adam = Adam(weights, recipe)
    steps = step_values(recipe, np.arange(len(gradients)), len(gradients))
    for step, parts in zip(steps, gradients, strict=True):
        adam.apply([tf.constant(part) for part in parts], tf.constant(step))
    return [weight.numpy() for weight in weights]


def keras_steps(optimizer: Any, gradients: list[list[Array]]) -> list[Array]:
    import keras
    import tensorflow as tf

    weights = [keras.Variable(np.ones(shape, np.float32)) for shape in SHAPES]
    for parts in gradients:
        optimizer.apply([tf.constant(part) for part in parts], weights)
    return [weight.numpy() for weight in weights]


@pytest.mark.parametrize("clip_norm", [None, 2.0], ids=["unclipped", "clipped"])
def test_adam_takes_the_steps_of_keras(recipe: Train, clip_norm: float | None) -> None:
    import keras

    changed = recipe.model_copy(
        update={"clip_norm": clip_norm, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "learning_rate": 0.05}
    )
    gradients = [random_arrays(step, scale=0.3 * step) for step in range(1, 8)]

    weights = adam_steps(changed, gradients)

    optimizer = keras.optimizers.Adam(0.05, beta_1=0.8, beta_2=0.95, epsilon=1e-3, global_clipnorm=clip_norm)
    for weight, expected in zip(weights, keras_steps(optimizer, gradients), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-5)


@pytest.mark.parametrize(("clip_norm", "clips"), [(0.5, True), (1000.0, False)], ids=["above", "below"])
def test_a_gradient_is_cut_to_the_norm_of_all_its_parts(recipe: Train, clip_norm: float, clips: bool) -> None:
    gradients = random_arrays(1)
    norm = np.sqrt(sum((part.astype(np.float64) ** 2).sum() for part in gradients))
    scaled = [part * np.float32(clip_norm / norm) for part in gradients] if clips else gradients
    # With an epsilon of this size the length of a step still tells the length of the gradient.
    coarse = recipe.model_copy(update={"epsilon": 1.0, "learning_rate": 1.0})

    weights = adam_steps(coarse.model_copy(update={"clip_norm": clip_norm}), [gradients])

    for weight, expected in zip(weights, adam_steps(coarse, [scaled]), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-5)


def learning_rates(recipe: Train, steps: list[int], total: int) -> Array:
    values = step_values(recipe, np.array(steps), total)
    assert values.dtype == np.float32
    return values[:, 0]


def test_a_constant_rate_stays(recipe: Train) -> None:
    assert learning_rates(recipe, [0, 5, 9], 10).tolist() == [np.float32(0.01)] * 3


def test_a_cosine_rate_falls_from_the_whole_over_the_half_to_nothing(recipe: Train) -> None:
    cosine = recipe.model_copy(update={"schedule": "cosine", "learning_rate": 0.002})

    rates = learning_rates(cosine, [0, 5, 9, 10], 10)

    np.testing.assert_allclose(rates, [0.002, 0.001, 4.894348e-5, 0], rtol=1e-6, atol=1e-12)


def test_a_cosine_rate_falls_at_each_step(recipe: Train) -> None:
    cosine = recipe.model_copy(update={"schedule": "cosine"})

    assert (np.diff(learning_rates(cosine, list(range(101)), 100)) < 0).all()


def test_beta_powers_begin_with_the_first(recipe: Train) -> None:
    powers = step_values(recipe, np.array([0, 1, 99]), 100)[:, 1:3]

    np.testing.assert_allclose(powers, [[0.9, 0.999], [0.81, 0.998001], [2.656140e-5, 0.904792]], rtol=1e-6)


def test_the_average_forgets_the_first_steps_sooner(recipe: Train) -> None:
    decays = step_values(recipe.model_copy(update={"averaging": 0.99}), np.array([0, 9, 889, 890, 5000]), 5001)[:, 3]

    np.testing.assert_allclose(decays, [1 / 10, 10 / 19, 890 / 899, 0.99, 0.99], rtol=1e-6)


def test_averages_are_those_of_the_weights(recipe: Train) -> None:
    import keras
    import tensorflow as tf

    averaging = recipe.model_copy(update={"averaging": 0.3})
    weight = keras.Variable(np.ones(3, np.float32))
    adam = Adam([weight], averaging)
    expected = np.ones(3)
    for step in step_values(averaging, np.arange(6), 6):
        adam.apply([tf.constant([1.0, -2.0, 0.5])], tf.constant(step))
        expected = step[3] * expected + (1 - step[3]) * weight.numpy()

    np.testing.assert_allclose(adam.averages[0].numpy(), expected, rtol=1e-6)
    assert adam.averages[0].shape == (3,)
    assert (adam.averages[0].numpy() != weight.numpy()).all()
