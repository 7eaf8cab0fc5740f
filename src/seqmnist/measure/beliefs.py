"""A cell's beliefs while it reads: class probabilities after each row, and the gates of an LSTM."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seqmnist.cells import reference
from seqmnist.cells.model import sequences_of
from seqmnist.config import View

if TYPE_CHECKING:
    import keras

# Label of an axis that has the steps, by view. Its unit is a 28th of the image, also where there are 784 steps.
READ: dict[View, str] = {
    "rows": "row read",
    "columns": "column read",
    "pixels": "row read",
    "permuted_pixels": "28ths of all pixels",
}
GATES = {"i": "input gate", "f": "forget gate", "o": "output gate"}


def beliefs(model: "keras.Model", images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the probabilities of the ten classes if the digit ended at each step.

    Args:
        model: Model of images to logits, with one recurrent layer.
        images: Images uint8 [n, 28, 28].

    Returns:
        float32 [n, steps, 10].
    """
    import tensorflow as tf

    from seqmnist.measure.layer_copy import copied

    stepwise = copied(model.get_layer("cell"), return_sequences=True)
    outputs = stepwise(tf.constant(sequences_of(model, images)))  # [n, steps, units]
    probabilities: NDArray[np.float32] = tf.nn.softmax(model.get_layer("logits")(outputs)).numpy()  # [n, steps, 10]
    return probabilities


def gates(model: "keras.Model", images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Return the gates of an LSTM by name (see `GATES`), each float32 [n, steps, units]."""
    trace: reference.Trace = {}
    reference.lstm(sequences_of(model, images), *model.get_layer("cell").get_weights(), trace=trace)
    return {name: trace[name].astype(np.float32) for name in GATES}


def example_digits(labels: NDArray[np.uint8], digits: tuple[int, ...] = (2, 4, 7, 9)) -> list[int]:
    """Return the index of the first image of each of some digits. So nobody chooses the examples."""
    return [int(np.flatnonzero(labels == digit)[0]) for digit in digits if (labels == digit).any()]
