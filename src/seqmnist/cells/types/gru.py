"""The gated recurrent unit (Cho et al. 2014), with the reset gate after the product."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from seqmnist.cells.gradients import Tensors, added, parted, weight_gradients
from seqmnist.cells.recurrent import Recurrent


@keras.saving.register_keras_serializable("seqmnist")
class GRU(Recurrent):
    """The gated recurrent unit of `reference.gru`, with the weights of keras.layers.GRU with reset_after=True."""

    gates, state_count = 3, 1
    stock = keras.layers.GRU

    def _block(self, by_step: tf.Tensor, states: Tensors) -> Tensors:
        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def run(
            projected: tf.Tensor, recurrent_kernel: tf.Tensor, bias: tf.Tensor, h: tf.Tensor
        ) -> tuple[Tensors, Any]:
            steps = _forward(projected, recurrent_kernel, bias, h)
            outputs = [tf.stack([step.h for step in steps])] if self.return_sequences else []  # [steps, n, units]
            return [*outputs, steps[-1].h], lambda *upstream: _backward(steps, recurrent_kernel, upstream)

        before, after = self.bias.value[0], self.bias.value[1]  # [3 * units] each, gates z, r, g
        # The state's biases for z and r are added here, with those of the inputs. Its bias for g is multiplied by r.
        zr, g = tf.split(after, [2 * self.units, self.units])  # [2 * units], [units]
        projected = self._projected(by_step, before + tf.concat([zr, tf.zeros_like(g)], 0))  # [steps, n, 3 * units]
        return list(run(projected, self.recurrent_kernel.value, g, *states))

    def _bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units)


class _Step(NamedTuple):
    """Tensors of one step that its gradient needs."""

    h_prev: tf.Tensor  # [n, units]
    zr: tf.Tensor  # both gates side by side [n, 2 * units]
    z: tf.Tensor  # [n, units]
    r: tf.Tensor  # [n, units]
    s: tf.Tensor  # h_prev U + bias for g [n, units]
    g: tf.Tensor  # [n, units]
    d: tf.Tensor  # h_prev - g [n, units]
    h: tf.Tensor  # [n, units]


def _forward(projected: tf.Tensor, recurrent_kernel: tf.Tensor, bias: tf.Tensor, h: tf.Tensor) -> list[_Step]:
    """Return the tensors of each step of a block.

    Args:
        projected: Inputs' products with all biases but that of g [steps, n, 3 * units].
        recurrent_kernel: Weights of the state [units, 3 * units].
        bias: The state's bias for g [units].
        h: State before the first step [n, units].
    """
    units = bias.shape[0]
    # Split here, once, rather than in each step: a step then reads tensors that lie in one piece.
    # For each step [n, 2 * units] and [n, units].
    x_zr, x_g = (tf.unstack(part) for part in tf.split(projected, [2 * units, units], axis=2))
    u_zr, u_g = tf.split(recurrent_kernel, [2 * units, units], axis=1)  # [units, 2 * units], [units, units]
    steps = []
    for t in range(len(x_g)):
        zr = tf.sigmoid(x_zr[t] + h @ u_zr)  # [n, 2 * units]
        z, r = tf.split(zr, 2, axis=1)  # [n, units] each
        s = tf.nn.bias_add(h @ u_g, bias)  # [n, units]
        g = tf.tanh(x_g[t] + r * s)  # [n, units]
        d = h - g  # [n, units]
        steps.append(_Step(h, zr, z, r, s, g, d, g + z * d))  # g + z d is the new h = z h + (1 - z) g
        h = steps[-1].h  # [n, units]
    return steps


def _backward(steps: list[_Step], recurrent_kernel: tf.Tensor, upstream: tuple[tf.Tensor, ...]) -> Tensors:
    """Return the gradients of `_forward`'s arguments: projected, recurrent_kernel, bias and the first h."""
    units = recurrent_kernel.shape[0]
    d_outputs, (dh,) = parted(upstream, len(steps), 1)  # [n, units] each
    transposed = tf.transpose(recurrent_kernel)  # [3 * units, units], once rather than in each of the products below
    d_projected: Tensors = []
    d_products: Tensors = []
    for step, d_output in zip(reversed(steps), reversed(d_outputs), strict=True):
        dh = added(dh, d_output)  # [n, units]
        kept = dh * step.z  # [n, units]
        dg = tf.raw_ops.TanhGrad(y=step.g, dy=dh - kept)  # [n, units]
        dzr = tf.raw_ops.SigmoidGrad(y=step.zr, dy=tf.concat([dh * step.d, dg * step.s], 1))  # [n, 2 * units]
        d_projected.insert(0, tf.concat([dzr, dg], 1))  # [n, 3 * units]
        d_products.insert(0, tf.concat([dzr, dg * step.r], 1))  # [n, 3 * units]
        dh = kept + d_products[0] @ transposed  # [n, units]
    d_kernel, d_bias = weight_gradients(
        [[step.h_prev] for step in steps], d_products
    )  # [units, 3 * units], [3 * units]
    # Shapes: [steps, n, 3 * units], [units, 3 * units], [units], [n, units].
    return [tf.stack(d_projected), d_kernel, d_bias[2 * units :], dh]
