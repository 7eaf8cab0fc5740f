"""The basic recurrent cell: h = tanh(x W + h U + b)."""

from typing import Any

import keras
import tensorflow as tf

from seqmnist.cells.gradients import Tensors, added, parted, weight_gradients
from seqmnist.cells.recurrent import Recurrent


@keras.saving.register_keras_serializable("seqmnist")
class RNN(Recurrent):
    """The basic recurrent cell of `reference.rnn`, with the weights of keras.layers.SimpleRNN."""

    gates, state_count = 1, 1
    stock = keras.layers.SimpleRNN

    def _block(self, by_step: tf.Tensor, states: Tensors) -> Tensors:
        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def run(projected: tf.Tensor, recurrent_kernel: tf.Tensor, h: tf.Tensor) -> tuple[Tensors, Any]:
            hs = _forward(projected, recurrent_kernel, h)
            outputs = [tf.stack(hs[1:])] if self.return_sequences else []  # [steps, n, units]
            return [*outputs, hs[-1]], lambda *upstream: _backward(hs, recurrent_kernel, upstream)

        projected = self._projected(by_step, self.bias.value)  # [steps, n, units]
        return list(run(projected, self.recurrent_kernel.value, *states))


def _forward(projected: tf.Tensor, recurrent_kernel: tf.Tensor, h: tf.Tensor) -> Tensors:
    """Return the state before the first step and after each step, all [n, units].

    Args:
        projected: Inputs' products with the bias [steps, n, units].
        recurrent_kernel: Weights of the state [units, units].
        h: State before the first step [n, units].
    """
    hs = [h]
    for z in tf.unstack(projected):  # [n, units]
        hs.append(tf.tanh(z + hs[-1] @ recurrent_kernel))  # [n, units]
    return hs


def _backward(hs: Tensors, recurrent_kernel: tf.Tensor, upstream: tuple[tf.Tensor, ...]) -> Tensors:
    """Return the gradients of `_forward`'s arguments: projected, recurrent_kernel and the first h."""
    steps = len(hs) - 1
    d_outputs, (dh,) = parted(upstream, steps, 1)  # [n, units] each
    transposed = tf.transpose(recurrent_kernel)  # [units, units], once rather than in each of the products below
    dzs: Tensors = []
    for t in reversed(range(steps)):
        dz = tf.raw_ops.TanhGrad(y=hs[t + 1], dy=added(dh, d_outputs[t]))  # [n, units]
        dh = dz @ transposed  # [n, units]
        dzs.insert(0, dz)
    d_kernel, _ = weight_gradients([[h] for h in hs[:-1]], dzs)  # [units, units]
    return [tf.stack(dzs), d_kernel, dh]  # [steps, n, units], [units, units], [n, units]
