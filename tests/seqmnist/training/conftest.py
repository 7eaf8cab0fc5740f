from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from seqmnist.config import SplitName, Train
from seqmnist.data.splits import CLASSES, NAMES, SIZE, Split
from seqmnist.randomness import generator
from seqmnist.training.runtime import start_tensorflow

if TYPE_CHECKING:
    import keras


@pytest.fixture(scope="session", autouse=True)
def _tensorflow() -> None:
    start_tensorflow(2)


@pytest.fixture(scope="session")
def recipe() -> Train:
    """A short recipe; tests that need another change single values of it."""
    return Train(
        epochs=2,
        batch_size=16,
        learning_rate=0.01,
        schedule="constant",
        clip_norm=None,
        label_smoothing=0.0,
        averaging=0.0,
        shift=0.0,
        rotation=0.0,
        zoom=0.0,
        shear=0.0,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
    )


@pytest.fixture(scope="session")
def dense_model() -> "Callable[[], keras.Model]":
    """Return a function that makes a model without recurrence, always with the same weights; its graphs trace fast."""
    import keras

    def make() -> keras.Model:
        image = keras.Input((SIZE, SIZE), dtype="uint8")
        pixels = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
        kernel = keras.initializers.GlorotUniform(seed=1)
        return keras.Model(image, keras.layers.Dense(CLASSES, kernel_initializer=kernel, name="logits")(pixels))

    return make


@pytest.fixture(scope="session")
def stripes() -> dict[SplitName, Split]:
    """Three splits of dim noise with two bright columns that tell the digit, so that any cell can learn it."""
    return {name: _stripes(name, count) for name, count in zip(NAMES, (70, 30, 20), strict=True)}


def _stripes(name: SplitName, count: int) -> Split:
    labels = (np.arange(count) % CLASSES).astype(np.uint8)
    images = generator(0, name).integers(0, 50, (count, SIZE, SIZE)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 2 * label : 2 * label + 2] = 255
    return Split(images, labels)
