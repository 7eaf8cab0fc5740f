"""How long a cell remembers: by its gradients, and by what it still knows when more rows follow the digit."""

from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seqmnist.cells.model import sequences_of
from seqmnist.data.splits import SIZE, Split
from seqmnist.randomness import generator
from seqmnist.training.graph import split_rows

Kind = Literal["blank", "noise"]
KINDS: tuple[Kind, ...] = ("blank", "noise")
EXTRA = (28, 112)  # rows after the digit

_NOISE_SEED = 28
_BATCH_IMAGES = 1_000  # images scored at once
_JACOBIAN_BATCH_IMAGES = 64  # digits whose Jacobians are in memory: 300 x 300 each for an LSTM of 150 units
_LANCZOS_ITERATIONS = 16  # see _spectral_norm


def gradient_flow(model: keras.Model, images: NDArray[np.uint8], shards: int) -> NDArray[np.float64]:
    """How strongly the last state depends on the state k steps before it.

    That is the spectral norm of the derivative of all that the cell carries after the last step (h; h and c of an LSTM)
    with respect to all that it carried k steps before (Bengio, Simard and Frasconi 1994; Pascanu, Mikolov and Bengio
    2013, section 2), as mean over the images. Far below 1, what was read then is forgotten.

    Args:
        model: images -> logits, with one recurrent layer.
        images: uint8 [n, 28, 28].
        shards: parts that run side by side.

    Returns:
        [steps], the mean norm for k = 0 (which is 1) to steps - 1.
    """
    sequences = sequences_of(model, images)
    step = _Step(model.get_layer("cell"), shards)
    total = np.zeros(sequences.shape[1])
    for first in range(0, len(sequences), _JACOBIAN_BATCH_IMAGES):
        total += step.norms(sequences[first : first + _JACOBIAN_BATCH_IMAGES]).sum(axis=0)
    return total / len(images)


class _Step:
    """One step of a recurrent layer as a function of its states, and its derivative."""

    def __init__(self, layer: keras.Layer, shards: int) -> None:
        self._layer = type(layer)(layer.units, return_state=True, dtype=layer.dtype)
        self._layer.build((None, None, layer.kernel.shape[0]))
        self._layer.set_weights(layer.get_weights())
        self._units, self._count, self._shards = layer.units, layer.states, shards
        # Compiled for a step, not for a sequence: 784 steps in one graph would take minutes to trace.
        self._after = tf.function(self._states_after)
        self._back = tf.function(self._one_step_back)

    def norms(self, sequences: NDArray[np.float32]) -> NDArray[np.float64]:
        """The spectral norms for sequences [n, steps, inputs], as [n, steps]."""
        n, width = len(sequences), self._count * self._units
        inputs = [tf.constant(x) for x in sequences.swapaxes(0, 1)]
        states = [[tf.zeros([n, self._units])] * self._count]
        for x in inputs[:-1]:
            states.append(self._after(x, states[-1]))
        product = tf.eye(width, batch_shape=[n])  # of the Jacobians from the last step back: [n, width, width]
        scale = np.ones(n)  # the derivative is product * scale: alone its squares would underflow
        norms = [scale]
        for x, before in zip(reversed(inputs[1:]), reversed(states[1:]), strict=True):
            product, largest, norm = self._back(product, x, before)
            scale = scale * largest.numpy()[:, 0, 0]
            norms.append(norm.numpy() * scale)
        return np.stack(norms, axis=1)

    def _states_after(self, x: tf.Tensor, states: list[tf.Tensor]) -> list[tf.Tensor]:
        """The states [n, units] after an input [n, inputs]."""
        after: list[tf.Tensor] = self._layer(x[:, None], initial_state=states)[1:]
        return after

    def _one_step_back(self, product: tf.Tensor, x: tf.Tensor, states: list[tf.Tensor]) -> list[tf.Tensor]:
        """The product with one more Jacobian, its largest element made 1; that element before; the norm after."""
        shards = min(self._shards, product.shape[0])  # an empty part ends the process (TensorFlow 2.21)
        parts = zip(*(split_rows(tensor, shards) for tensor in (product, x, *states)), strict=True)
        results = []
        for product_, x_, *states_ in parts:
            pulled = self._pulled_back(product_, x_, states_)
            largest = tf.reduce_max(tf.abs(pulled), axis=[1, 2], keepdims=True)
            pulled = tf.math.divide_no_nan(pulled, largest)
            results.append((pulled, largest, _spectral_norm(pulled)))
        return [tf.concat(result, axis=0) for result in zip(*results, strict=True)]

    def _pulled_back(self, product: tf.Tensor, x: tf.Tensor, states: list[tf.Tensor]) -> tf.Tensor:
        """The product [n, width, width] times the Jacobian of a step: each of its rows as a gradient of the states."""
        width = self._count * self._units
        repeated = [tf.repeat(tensor, width, axis=0) for tensor in (x, *states)]  # [n * width, ...]
        rows = tf.split(tf.reshape(product, [-1, width]), self._count, axis=1)
        with tf.GradientTape() as tape:
            tape.watch(repeated[1:])
            after = self._states_after(repeated[0], repeated[1:])
        gradients = tape.gradient(after, repeated[1:], output_gradients=rows)
        return tf.reshape(tf.concat(gradients, axis=1), tf.shape(product))


def _spectral_norm(matrices: tf.Tensor) -> tf.Tensor:
    """The largest singular value [n] of matrices [n, m, m].

    It is nearly that of a small matrix which Lanczos bidiagonalization makes (Golub and Kahan 1965, section 3); the
    power method takes three times as many products.
    """
    right, left, above = tf.ones_like(matrices[:, :, :1]), 0.0, 1.0
    right /= tf.norm(right, axis=1, keepdims=True)
    diagonal, upper = [], []
    for _ in range(min(_LANCZOS_ITERATIONS, matrices.shape[1])):
        left = matrices @ right - above * left
        beside = tf.norm(left, axis=1, keepdims=True)
        left = tf.math.divide_no_nan(left, beside)
        right = tf.matmul(matrices, left, transpose_a=True) - beside * right
        above = tf.norm(right, axis=1, keepdims=True)
        right = tf.math.divide_no_nan(right, above)
        diagonal.append(beside[:, 0])
        upper.append(above[:, 0])
    bidiagonal = tf.linalg.diag(tf.concat(diagonal, 1)) + tf.linalg.diag(tf.concat(upper, 1)[:, :-1], k=1)
    return tf.linalg.svd(bidiagonal, compute_uv=False)[:, 0]


def accuracy_after(model: keras.Model, split: Split, *, kind: Kind, extra: int, shards: int) -> float:
    """Accuracy of a model when rows without meaning follow each digit: what it still knows of it.

    The model was not trained on such rows.

    Args:
        model: images -> logits, with one recurrent layer.
        split: the digits.
        kind: of the rows: `blank`, or `noise` with pixels drawn evenly from 0 to 1.
        extra: how many rows; of a view in pixels as many pixels.
        shards: parts that run side by side.
    """
    sequences = sequences_of(model, split.images)
    steps, inputs = extra * SIZE // sequences.shape[2], sequences.shape[2]
    random = generator(_NOISE_SEED, f"{kind} rows after a digit")
    cell, logits = model.get_layer("cell"), model.get_layer("logits")

    @tf.function(input_signature=[tf.TensorSpec([None, sequences.shape[1] + steps, inputs])])  # type: ignore[untyped-decorator]
    def predicted(part: tf.Tensor) -> tf.Tensor:
        return tf.concat([tf.argmax(logits(cell(rows)), axis=1) for rows in split_rows(part, shards)], 0)

    right = 0
    for first in range(0, len(split), _BATCH_IMAGES):
        digits = sequences[first : first + _BATCH_IMAGES]
        shape = (len(digits), steps, inputs)
        rows = np.zeros(shape, np.float32) if kind == "blank" else random.random(shape, np.float32)
        answers = predicted(tf.constant(np.concatenate([digits, rows], axis=1))).numpy()
        right += int((answers == split.labels[first : first + _BATCH_IMAGES]).sum())
    return right / len(split)
