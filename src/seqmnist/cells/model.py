"""The model: uint8 image -> scaling and sequence view -> recurrent cell -> logits.

Where the number of threads matters, `seqmnist.training.runtime` must start TensorFlow first.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seqmnist.config import Cell, Sequence
from seqmnist.data.splits import CLASSES, SIZE
from seqmnist.randomness import weight_seed

if TYPE_CHECKING:
    import keras

_BATCH_IMAGES = 1_000  # images whose sequences are computed at once
_PERMUTATION_SEED = 92  # the one order of the permuted pixels


def build(cell: Cell, sequence: Sequence, seed: int) -> "keras.Model":
    """Build a model of the fast layers with fresh weights: images uint8 [n, 28, 28] -> logits float32 [n, 10].

    Kernels start Glorot uniform, the recurrent kernel orthogonal, and biases at 0 (the LSTM's forget gate at 1). Each
    has a random generator of its own, derived from `seed`.
    """
    import keras

    from seqmnist.cells.layers import layer_class

    layer = layer_class(cell.type)(
        cell.units,
        kernel_initializer=keras.initializers.GlorotUniform(seed=weight_seed(seed, "kernel")),
        recurrent_initializer=keras.initializers.Orthogonal(seed=weight_seed(seed, "recurrent_kernel")),
        dtype="float32",
        name="cell",
    )
    return _assemble(cell, sequence, seed, layer)


def stock(model: "keras.Model", cell: Cell, sequence: Sequence, **options: bool) -> "keras.Model":
    """Return a model with the same weights, made of Keras's own layers where Keras has the cell.

    It maps images uint8 [n, 28, 28] to logits float32 [n, 10]. The recurrent layer gets `options`.
    """
    from seqmnist.cells.layers import layer_class

    fast = layer_class(cell.type)
    layer = (fast.stock or fast)(cell.units, dtype="float32", name="cell", **options)
    same = _assemble(cell, sequence, 0, layer)
    same.set_weights(model.get_weights())
    return same


def exported(model: "keras.Model", cell: Cell, sequence: Sequence) -> "keras.Model":
    """Return the model that MLflow gets: images uint8 [n, 28, 28] -> probabilities float32 [n, 10].

    It is made of Keras's own layers where Keras has the cell. So it loads in safe mode, without this package.
    """
    import keras

    same = stock(model, cell, sequence)
    softmax = keras.layers.Softmax(name="probabilities", dtype="float32")
    return keras.Model(same.input, softmax(same.output), name=model.name)


def _assemble(cell: Cell, sequence: Sequence, seed: int, layer: "keras.Layer") -> "keras.Model":
    import keras

    image = keras.Input((SIZE, SIZE), dtype="uint8", name="image")  # [n, 28, 28]
    scaled = keras.layers.Rescaling(1 / 255, name="scaling", dtype="float32")(image)  # [n, 28, 28], 0 to 1
    steps = view(scaled, sequence)  # [n, steps, inputs]
    glorot = keras.initializers.GlorotUniform(seed=weight_seed(seed, "logits"))
    dense = keras.layers.Dense(CLASSES, kernel_initializer=glorot, dtype="float32", name="logits")
    return keras.Model(image, dense(layer(steps)), name=cell.type)  # [n, 28, 28] -> [n, 10]


def view(image: "keras.KerasTensor", sequence: Sequence) -> "keras.KerasTensor":
    """Turn scaled images [n, 28, 28] into sequences: [n, 28, 28], or [n, 784, 1] for the pixel views."""
    import keras

    match sequence.view:
        case "rows":
            return image
        case "columns":
            return keras.layers.Permute((2, 1), name="columns")(image)  # [n, 28, 28]
        case "pixels":
            return keras.layers.Reshape((SIZE * SIZE, 1), name="pixels")(image)  # [n, 784, 1]
        case "permuted_pixels":
            pixels = keras.layers.Reshape((SIZE * SIZE, 1), name="pixels")(image)  # [n, 784, 1]
            return keras.ops.take(pixels, permutation(), axis=1)  # [n, 784, 1]


def permutation() -> list[int]:
    """Return the order in which `permuted_pixels` reads the 784 pixels, which is always the same."""
    return [int(pixel) for pixel in np.random.default_rng(_PERMUTATION_SEED).permutation(SIZE * SIZE)]


def sequences_of(model: "keras.Model", images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the sequences float32 [n, steps, inputs] that the model's cell reads of images uint8 [n, 28, 28]."""
    import keras

    front = keras.Model(model.input, model.get_layer("cell").input)
    parts = [front(images[first : first + _BATCH_IMAGES]).numpy() for first in range(0, len(images), _BATCH_IMAGES)]
    return np.concatenate(parts)  # [n, steps, inputs]
