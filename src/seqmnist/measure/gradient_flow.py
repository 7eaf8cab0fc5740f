"""Gradient flow: how strongly a cell's last state depends on earlier ones."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seqmnist.cells.layers import LSTM, RNN
from seqmnist.cells.model import sequences_of
from seqmnist.cells.recurrent import Recurrent
from seqmnist.measure.layer_copy import copied
from seqmnist.training.graph import split_rows

_BATCH_IMAGES = 32  # digits whose Jacobians stay in cache: 300 x 300 each for an LSTM of 150 units
_LANCZOS_ITERATIONS = 16  # see _spectral_norm

Tensors = list[tf.Tensor]


def gradient_flows(models: Sequence[keras.Model], images: NDArray[np.uint8], shards: int) -> list[NDArray[np.float64]]:
    """Return how strongly the last state depends on the state k steps before it.

    The state is all that the cell carries: h, or h and c of an LSTM. The measure is the spectral norm of the derivative
    of the last state with respect to the earlier one, as mean over the images. Far below 1, the cell has forgotten what
    it read then.

    Source: Bengio, Simard and Frasconi 1994; Pascanu, Mikolov and Bengio 2013, section 2.

    Args:
        models: Models of images to logits, with one recurrent layer. They differ in their weights alone.
        images: Images uint8 [n, 28, 28].
        shards: Number of parts of a batch that run side by side.

    Returns:
        The mean norms of each model, float64 [steps], for k = 0 (which is 1) to steps - 1.
    """
    sequences = sequences_of(models[0], images).swapaxes(0, 1)  # [steps, n, inputs]
    chain = _Chain(models[0].get_layer("cell"), shards)
    flows = []
    for model in models:
        chain.layer.set_weights(model.get_layer("cell").get_weights())
        batches = range(0, len(images), _BATCH_IMAGES)
        norms = [chain.norms(sequences[:, first : first + _BATCH_IMAGES]) for first in batches]  # each [steps, batch]
        flows.append(np.concatenate(norms, axis=1).mean(axis=1))  # [steps]
    return flows


class _Chain:
    """The product of the Jacobians of a recurrent layer's steps, from the last step back."""

    def __init__(self, layer: Recurrent, shards: int) -> None:
        self.layer = copied(layer, return_state=True)
        self._width, self._shards = layer.state_count * layer.units, shards
        self._equations = _EQUATIONS.get(type(layer))
        self._norms = tf.function(self._split_norms, autograph=False)

    def norms(self, sequences: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the spectral norms float64 [steps, n] for sequences [steps, n, inputs]."""
        norms, largest = (
            part.numpy().astype(np.float64) for part in self._norms(tf.constant(sequences))
        )  # [steps - 1, n]
        return np.concatenate([np.ones_like(norms[:1]), norms * np.cumprod(largest, axis=0)])  # [steps, n]

    def _split_norms(self, sequences: tf.Tensor) -> Tensors:
        """Return the results of `_shard_norms` for all shards, each [steps - 1, n]."""
        digits = tf.transpose(sequences, [1, 0, 2])  # [n, steps, inputs]
        # At most as many shards as digits: an empty shard ends the process (TensorFlow 2.21).
        shards = [self._shard_norms(part) for part in split_rows(digits, min(self._shards, digits.shape[0]))]
        return [tf.concat(parts, 1) for parts in zip(*shards, strict=True)]  # each [steps - 1, n]

    def _shard_norms(self, digits: tf.Tensor) -> Tensors:
        """Return the norms of the products of Jacobians for digits [n, steps, inputs].

        The products themselves would underflow. So each is divided by its largest element before the next step.

        Returns:
            The norms of the divided products [steps - 1, n], from the last step back, and the divisors [steps - 1, n].
        """
        sequence, n = tf.transpose(digits, [1, 0, 2]), tf.shape(digits)[0]  # [steps, n, inputs], []
        start = [tf.zeros([n, self.layer.units])] * self.layer.state_count  # each [n, units]
        # The states before each step but the first, each [steps - 1, n, units]. A loop computes them, since tracing 784
        # steps would take minutes.
        states = tf.scan(lambda before, x: self._states_after(x, before), sequence[:-1], start)
        steps = sequence.shape[0] - 1
        written = [tf.TensorArray(tf.float32, steps, element_shape=[None]) for _ in range(2)]

        def body(
            k: tf.Tensor, product: tf.Tensor, norms: tf.TensorArray, largest: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.TensorArray]:
            t = steps - 1 - k
            product = self._pulled_back(product, sequence[t + 1], [state[t] for state in states])  # [n, width, width]
            top = tf.reduce_max(tf.abs(product), axis=[1, 2])  # [n]
            product = tf.math.divide_no_nan(product, top[:, None, None])  # [n, width, width]
            return k + 1, product, norms.write(k, _spectral_norm(product)), largest.write(k, top)

        product = tf.eye(self._width, batch_shape=[n])  # [n, width, width]
        _, _, norms, largest = tf.while_loop(lambda k, *_: k < steps, body, (0, product, *written))
        return [norms.stack(), largest.stack()]  # each [steps - 1, n]

    def _states_after(self, x: tf.Tensor, states: Tensors) -> Tensors:
        """Return the states, each [n, units], after an input [n, inputs]."""
        after: Tensors = self.layer(x[:, None], initial_state=states)[1:]  # each [n, units]
        return after

    def _pulled_back(self, product: tf.Tensor, x: tf.Tensor, states: Tensors) -> tf.Tensor:
        """Return a product [n, width, width] times the Jacobian of a step, by equations if the cell has any.

        Args:
            product: Product of the Jacobians of the later steps [n, width, width].
            x: Input of the step [n, inputs].
            states: States before the step, each [n, units].
        """
        if self._equations:
            return self._equations(self.layer, product, x, states)
        repeated = [tf.repeat(tensor, self._width, axis=0) for tensor in (x, *states)]  # [n * width, ...]
        rows = tf.split(tf.reshape(product, [-1, self._width]), len(states), axis=1)  # each [n * width, units]
        with tf.GradientTape() as tape:
            tape.watch(repeated[1:])
            after = self._states_after(repeated[0], repeated[1:])  # each [n * width, units]
        gradients = tape.gradient(after, repeated[1:], output_gradients=rows)  # each [n * width, units]
        return tf.reshape(tf.concat(gradients, axis=1), tf.shape(product))  # [n, width, width]


def _rnn_pulled_back(layer: RNN, product: tf.Tensor, x: tf.Tensor, states: Tensors) -> tf.Tensor:
    """Return a product [n, units, units] times the derivative of h after a step by h before it."""
    h = tf.tanh(x @ layer.kernel + states[0] @ layer.recurrent_kernel + layer.bias)  # [n, units]
    return product @ _through(1 - h**2, layer.recurrent_kernel)  # [n, units, units]


def _lstm_pulled_back(layer: LSTM, product: tf.Tensor, x: tf.Tensor, states: Tensors) -> tf.Tensor:
    """Return a product [n, 2 * units, 2 * units] times the derivative of h and c after a step by those before it."""
    h, c = states  # each [n, units]
    i, f, g, o = tf.split(x @ layer.kernel + h @ layer.recurrent_kernel + layer.bias, 4, axis=1)  # each [n, units]
    i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)  # each [n, units]
    to_i, to_f, to_g, to_o = tf.split(layer.recurrent_kernel, 4, axis=1)  # each [units, units]
    shown = tf.tanh(f * c + i * g)  # tanh of the new c [n, units]
    dh_dc = o * (1 - shown**2)  # of the new h by the new c [n, units]
    # Derivatives of the new c and the new h by the old h, each [n, units, units].
    c_by_h = _through(g * i * (1 - i), to_i) + _through(c * f * (1 - f), to_f) + _through(i * (1 - g**2), to_g)
    h_by_h = _through(shown * o * (1 - o), to_o) + dh_dc[:, :, None] * c_by_h
    by_h = product @ tf.concat([h_by_h, c_by_h], axis=1)  # [n, 2 * units, units]
    from_h, from_c = tf.split(product, 2, axis=2)  # each [n, 2 * units, units]
    # The old c acts on each unit's own h and c alone, so its derivatives are diagonal. [n, 2 * units, units]
    by_c = from_h * (dh_dc * f)[:, None] + from_c * f[:, None]
    return tf.concat([by_h, by_c], axis=2)  # [n, 2 * units, 2 * units]


def _through(slopes: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Return the derivative of act(h @ kernel) by h [n, m, units], given the slopes [n, m] of the activation act."""
    return slopes[:, :, None] * tf.transpose(kernel)  # [n, m, units]


# Equations are faster than a gradient, which runs the step anew for each row of the product. Other cells use that.
_EQUATIONS: dict[type[Recurrent], Callable[..., tf.Tensor]] = {RNN: _rnn_pulled_back, LSTM: _lstm_pulled_back}


def _spectral_norm(matrices: tf.Tensor) -> tf.Tensor:
    """Return the largest singular value [n] of matrices [n, m, m], by Lanczos bidiagonalization.

    The small bidiagonal matrix has nearly the same largest singular value (Golub and Kahan 1965, section 3): at 150
    units, sixteen steps are at most 0.3 % below eighty. The power method takes three times as many products.
    """
    # Rows times matrices are faster than matrices times columns.
    transposed = tf.linalg.matrix_transpose(matrices)  # [n, m, m]
    right, left, above = tf.ones_like(matrices[:, :1]), 0.0, 1.0  # [n, 1, m], later too; [n, 1, 1]
    right /= tf.norm(right, axis=2, keepdims=True)  # [n, 1, m]
    diagonal, upper = [], []
    for _ in range(min(_LANCZOS_ITERATIONS, matrices.shape[1])):
        left = right @ transposed - above * left  # [n, 1, m]
        beside = tf.norm(left, axis=2, keepdims=True)  # [n, 1, 1]
        left = tf.math.divide_no_nan(left, beside)  # [n, 1, m]
        right = left @ matrices - beside * right  # [n, 1, m]
        above = tf.norm(right, axis=2, keepdims=True)  # [n, 1, 1]
        right = tf.math.divide_no_nan(right, above)  # [n, 1, m]
        diagonal.append(beside[:, 0])  # [n, 1]
        upper.append(above[:, 0])  # [n, 1]
    # Shape [n, iterations, iterations].
    bidiagonal = tf.linalg.diag(tf.concat(diagonal, 1)) + tf.linalg.diag(tf.concat(upper, 1)[:, :-1], k=1)
    return tf.linalg.svd(bidiagonal, compute_uv=False)[:, 0]  # [n]
