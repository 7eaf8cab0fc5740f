"""How strongly the last state of a cell depends on earlier ones: how far back gradients reach."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seqmnist.cells.layers import LSTM, RNN
from seqmnist.cells.model import sequences_of
from seqmnist.cells.recurrent import Recurrent
from seqmnist.measure.layer_copy import copied
from seqmnist.training.graph import split_rows

_BATCH_IMAGES = 32  # digits whose Jacobians are in cache: 300 x 300 each for an LSTM of 150 units
_LANCZOS_ITERATIONS = 16  # see _spectral_norm

Tensors = list[tf.Tensor]


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
    for first in range(0, len(sequences), _BATCH_IMAGES):
        total += step.norms(sequences[first : first + _BATCH_IMAGES]).sum(axis=0)
    return total / len(images)


class _Step:
    """One step of a recurrent layer as a function of its states, and its derivative."""

    def __init__(self, layer: Recurrent, shards: int) -> None:
        self._layer = copied(layer, return_state=True)
        self._units, self._count, self._shards = layer.units, layer.states, shards
        self._jacobian = _JACOBIANS.get(type(layer))
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
        # Of the Jacobians from the last step back: [n, width, width] in all. An empty part ends the process (2.21).
        products = split_rows(tf.eye(width, batch_shape=[n]), min(self._shards, n))
        scale = np.ones(n)  # the derivative is product * scale: alone its squares would underflow
        norms = [scale]
        for x, before in zip(reversed(inputs[1:]), reversed(states[1:]), strict=True):
            products, largest, norm = self._back(products, x, before)
            scale = scale * largest.numpy()
            norms.append(norm.numpy() * scale)
        return np.stack(norms, axis=1)

    def _states_after(self, x: tf.Tensor, states: Tensors) -> Tensors:
        """The states [n, units] after an input [n, inputs]."""
        after: Tensors = self._layer(x[:, None], initial_state=states)[1:]
        return after

    def _one_step_back(self, products: Tensors, x: tf.Tensor, states: Tensors) -> tuple[Tensors, tf.Tensor, tf.Tensor]:
        """The products with one more Jacobian, their largest elements made 1; these before [n]; the norms after [n]."""
        parts = zip(products, *(split_rows(tensor, len(products)) for tensor in (x, *states)), strict=True)
        pulled, largest = [], []
        for product, own_x, *own_states in parts:
            if self._jacobian:
                one = product @ self._jacobian(self._layer, own_x, own_states)
            else:
                one = self._pulled_back(product, own_x, own_states)
            largest.append(tf.reduce_max(tf.abs(one), axis=[1, 2]))
            pulled.append(tf.math.divide_no_nan(one, largest[-1][:, None, None]))
        return pulled, tf.concat(largest, 0), tf.concat([_spectral_norm(one) for one in pulled], 0)

    def _pulled_back(self, product: tf.Tensor, x: tf.Tensor, states: Tensors) -> tf.Tensor:
        """The product [n, width, width] times the Jacobian of a step: each of its rows as a gradient of the states."""
        width = self._count * self._units
        repeated = [tf.repeat(tensor, width, axis=0) for tensor in (x, *states)]  # [n * width, ...]
        rows = tf.split(tf.reshape(product, [-1, width]), self._count, axis=1)
        with tf.GradientTape() as tape:
            tape.watch(repeated[1:])
            after = self._states_after(repeated[0], repeated[1:])
        gradients = tape.gradient(after, repeated[1:], output_gradients=rows)
        return tf.reshape(tf.concat(gradients, axis=1), tf.shape(product))


def _rnn_jacobian(layer: RNN, x: tf.Tensor, states: Tensors) -> tf.Tensor:
    """The derivative of h after a step by h before it: [n, units, units]."""
    h = tf.tanh(x @ layer.kernel + states[0] @ layer.recurrent_kernel + layer.bias)
    return _through(1 - h**2, layer.recurrent_kernel)


def _lstm_jacobian(layer: LSTM, x: tf.Tensor, states: Tensors) -> tf.Tensor:
    """The derivative of h and c after a step by h and c before it: [n, 2 * units, 2 * units]."""
    h, c = states
    i, f, g, o = tf.split(x @ layer.kernel + h @ layer.recurrent_kernel + layer.bias, 4, axis=1)
    i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)  # [n, units] each
    to_i, to_f, to_g, to_o = tf.split(layer.recurrent_kernel, 4, axis=1)  # [units, units] each
    shown = tf.tanh(f * c + i * g)
    dh_dc = o * (1 - shown**2)  # within the step, [n, units]
    c_by_h = _through(g * i * (1 - i), to_i) + _through(c * f * (1 - f), to_f) + _through(i * (1 - g**2), to_g)
    h_by_h = _through(shown * o * (1 - o), to_o) + dh_dc[:, :, None] * c_by_h
    h_rows = tf.concat([h_by_h, tf.linalg.diag(dh_dc * f)], axis=2)
    c_rows = tf.concat([c_by_h, tf.linalg.diag(f)], axis=2)
    return tf.concat([h_rows, c_rows], axis=1)


def _through(slopes: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The derivative of act(h @ kernel) by h, given the slopes [n, m] of act: [n, m, units]."""
    return slopes[:, :, None] * tf.transpose(kernel)


# By their equations, which is faster: for a gradient the step runs anew for each row. Other cells go by that.
_JACOBIANS: dict[type[Recurrent], Callable[..., tf.Tensor]] = {RNN: _rnn_jacobian, LSTM: _lstm_jacobian}


def _spectral_norm(matrices: tf.Tensor) -> tf.Tensor:
    """The largest singular value [n] of matrices [n, m, m].

    It is nearly that of a small matrix which Lanczos bidiagonalization makes (Golub and Kahan 1965, section 3); the
    power method takes three times as many products.
    """
    transposed = tf.linalg.matrix_transpose(matrices)  # rows times matrices are faster than matrices times columns
    right, left, above = tf.ones_like(matrices[:, :1]), 0.0, 1.0  # [n, 1, m] each
    right /= tf.norm(right, axis=2, keepdims=True)
    diagonal, upper = [], []
    for _ in range(min(_LANCZOS_ITERATIONS, matrices.shape[1])):
        left = right @ transposed - above * left
        beside = tf.norm(left, axis=2, keepdims=True)
        left = tf.math.divide_no_nan(left, beside)
        right = left @ matrices - beside * right
        above = tf.norm(right, axis=2, keepdims=True)
        right = tf.math.divide_no_nan(right, above)
        diagonal.append(beside[:, 0])
        upper.append(above[:, 0])
    bidiagonal = tf.linalg.diag(tf.concat(diagonal, 1)) + tf.linalg.diag(tf.concat(upper, 1)[:, :-1], k=1)
    return tf.linalg.svd(bidiagonal, compute_uv=False)[:, 0]
