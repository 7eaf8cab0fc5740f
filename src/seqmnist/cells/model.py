"""The model: uint8 image -> scaling and sequence view -> recurrent cell -> logits.

TensorFlow must be imported through `seqmnist.training.runtime` first where threads matter.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seqmnist.config import Cell, Sequence
from seqmnist.data.splits import CLASSES, SIZE
from seqmnist.randomness import weight_seed

if TYPE_CHECKING:
    import keras

_BATCH_IMAGES = 1_000  # images whose sequences are made at once
_PERMUTATION_SEED = 92  # the one order of the permuted pixels


def build(cell: Cell, sequence: Sequence, seed: int) -> "keras.Model":
    """A model of the fast layers with fresh weights: images uint8 [n, 28, 28] -> logits float32 [n, 10].

    The kernels start as Glorot uniform, the recurrent kernel orthogonal, the biases 0 (the LSTM's forget
    gate 1), each from a generator of its own derived from `seed`.
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
    """A model's weights in Keras's own layers, where Keras has the cell: images uint8 [n, 28, 28] -> logits [n, 10].

    `options` go to the layer.
    """
    from seqmnist.cells.layers import layer_class

    fast = layer_class(cell.type)
    layer = (fast.stock or fast)(cell.units, dtype="float32", name="cell", **options)
    same = _assemble(cell, sequence, 0, layer)
    same.set_weights(model.get_weights())
    return same


def exported(model: "keras.Model", cell: Cell, sequence: Sequence) -> "keras.Model":
    """What is given away of a trained model: images uint8 [n, 28, 28] -> probabilities [n, 10].

    It is made of Keras's own layers where Keras has the cell, so that it loads in safe mode where this package is not
    installed.
    """
    import keras

    same = stock(model, cell, sequence)
    softmax = keras.layers.Softmax(name="probabilities", dtype="float32")
    return keras.Model(same.input, softmax(same.output), name=model.name)


def _assemble(cell: Cell, sequence: Sequence, seed: int, layer: "keras.Layer") -> "keras.Model":
    import keras

    image = keras.Input((SIZE, SIZE), dtype="uint8", name="image")
    steps = view(keras.layers.Rescaling(1 / 255, name="scaling", dtype="float32")(image), sequence)
    glorot = keras.initializers.GlorotUniform(seed=weight_seed(seed, "logits"))
    dense = keras.layers.Dense(CLASSES, kernel_initializer=glorot, dtype="float32", name="logits")
    return keras.Model(image, dense(layer(steps)), name=cell.type)


def view(image: "keras.KerasTensor", sequence: Sequence) -> "keras.KerasTensor":
    """Scaled images [n, 28, 28] as sequences [n, steps, inputs]: 28 x 28, or 784 x 1 for the pixel views."""
    import keras

    match sequence.view:
        case "rows":
            return image
        case "columns":
            return keras.layers.Permute((2, 1), name="columns")(image)
        case "pixels":
            return keras.layers.Reshape((SIZE * SIZE, 1), name="pixels")(image)
        case "permuted_pixels":
            pixels = keras.layers.Reshape((SIZE * SIZE, 1), name="pixels")(image)
            return keras.ops.take(pixels, permutation(), axis=1)


def permutation() -> list[int]:
    """The order in which `permuted_pixels` reads the 784 pixels: always the same."""
    return [int(pixel) for pixel in np.random.default_rng(_PERMUTATION_SEED).permutation(SIZE * SIZE)]


def sequences_of(model: "keras.Model", images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what the model's cell reads of images [n, 28, 28]: float32 [n, steps, inputs]."""
    import keras

    front = keras.Model(model.input, model.get_layer("cell").input)
    parts = [front(images[first : first + _BATCH_IMAGES]).numpy() for first in range(0, len(images), _BATCH_IMAGES)]
    return np.concatenate(parts)
