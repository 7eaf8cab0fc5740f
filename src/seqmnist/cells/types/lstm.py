"""Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gate).

Within `fused_steps`, a step in float32 is one operation, LSTMBlockCell. TensorFlow 2 has no gradient of it: the
operation LSTMBlockCellGrad gives that of the gates, and this module adds those of the state and of the weights.
Elsewhere, and in other dtypes, a step has plain operations, and TensorFlow derives the gradient.
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from seqmnist.cells.gradients import Tensors, added, parted, weight_gradients
from seqmnist.cells.recurrent import Recurrent, is_fused


@keras.saving.register_keras_serializable("seqmnist")
class LSTM(Recurrent):
    """The LSTM of `reference.lstm`, with the weights of keras.layers.LSTM. The forget gate's bias starts at 1."""

    gates, state_count = 4, 2
    stock = keras.layers.LSTM

    def _block(self, by_step: tf.Tensor, states: Tensors) -> Tensors:
        weights = tf.concat([self.kernel.value, self.recurrent_kernel.value], 0)  # [inputs + units, 4 * units]
        if not is_fused() or by_step.dtype != tf.float32:
            return _plain(by_step, weights, self.bias.value, *states, return_sequences=self.return_sequences)

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def run(by_step: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor, *states: tf.Tensor) -> tuple[Tensors, Any]:
            steps = _forward(by_step, weights, bias, *states)
            outputs = [tf.stack([step.h for step in steps])] if self.return_sequences else []  # [steps, n, units]
            return [*outputs, steps[-1].h, steps[-1].cs], lambda *upstream: _backward(steps, weights, bias, upstream)

        # The operation refuses an empty batch, as a small batch's last shard may be. It gets a row of zeros meanwhile.
        size = tf.shape(by_step)[1]
        missing = tf.maximum(1 - size, 0)
        by_step = tf.pad(by_step, [[0, 0], [0, missing], [0, 0]])  # [steps, n, inputs], n at least 1
        states = [tf.pad(state, [[0, missing], [0, 0]]) for state in states]  # each [n, units]
        *outputs, h, c = run(by_step, _reordered(weights), _reordered(self.bias.value), *states)
        return [*(output[:, :size] for output in outputs), h[:size], c[:size]]

    def _start_bias(self, shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
        zeros = tf.zeros([shape[0] // 4], dtype)  # [units]
        return tf.concat([zeros, zeros + 1, zeros, zeros], 0)  # [4 * units], gates i, f, g, o


class _Step(NamedTuple):
    """Tensors of one step that its gradient needs, named as in TensorFlow's operation."""

    x: tf.Tensor  # [n, inputs]
    h_prev: tf.Tensor  # [n, units]
    cs_prev: tf.Tensor  # c before the step [n, units]
    i: tf.Tensor  # [n, units]
    cs: tf.Tensor  # c [n, units]
    f: tf.Tensor  # [n, units]
    o: tf.Tensor  # [n, units]
    ci: tf.Tensor  # g [n, units]
    co: tf.Tensor  # tanh(c) [n, units]
    h: tf.Tensor  # [n, units]


def _forward(by_step: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor, h: tf.Tensor, c: tf.Tensor) -> list[_Step]:
    """Return the tensors of each step of a block.

    Args:
        by_step: Inputs [steps, n, inputs].
        weights: Weights of inputs and state, gates i, g, f, o [inputs + units, 4 * units].
        bias: Bias of the same gates [4 * units].
        h: Short-term state before the first step [n, units].
        c: Long-term state before the first step [n, units].
    """
    steps = []
    for x in tf.unstack(by_step):  # [n, inputs]
        made = tf.raw_ops.LSTMBlockCell(
            x=x, cs_prev=c, h_prev=h, forget_bias=0.0, cell_clip=-1.0, **_weights(weights, bias)
        )  # i, cs, f, o, ci, co, h, each [n, units]
        steps.append(_Step(x, h, c, **made._asdict()))
        h, c = made.h, made.cs  # each [n, units]
    return steps


def _backward(steps: list[_Step], weights: tf.Tensor, bias: tf.Tensor, upstream: tuple[tf.Tensor, ...]) -> Tensors:
    """Return the gradients of `_forward`'s arguments: by_step, weights, bias, and the first h and c."""
    d_outputs, (dh, dc) = parted(upstream, len(steps), 2)  # [n, units] each
    inputs = steps[0].x.shape[1]
    transposed = tf.transpose(weights[inputs:])  # [4 * units, units], once rather than in each of the products below
    dzs: Tensors = []
    for step, d_output in zip(reversed(steps), reversed(d_outputs), strict=True):
        saved = {name: value for name, value in step._asdict().items() if name != "h"}
        made = tf.raw_ops.LSTMBlockCellGrad(cs_grad=dc, h_grad=added(dh, d_output), **saved, **_weights(weights, bias))
        dc = made.cs_prev_grad  # [n, units]
        dh = made.dicfo @ transposed  # [n, units]
        dzs.insert(0, made.dicfo)  # [n, 4 * units], gates i, g, f, o
    d_weights, d_bias = weight_gradients([[step.x, step.h_prev] for step in steps], dzs)
    dx = tf.tensordot(tf.stack(dzs), weights[:inputs], [[2], [1]])  # [steps, n, inputs]
    # Shapes: [steps, n, inputs], [inputs + units, 4 * units], [4 * units], [n, units], [n, units].
    return [dx, d_weights, d_bias, dh, dc]


def _weights(weights: tf.Tensor, bias: tf.Tensor) -> dict[str, Any]:
    """Return the arguments of TensorFlow's operation that are the same in each step; there are no peepholes."""
    unused = tf.zeros([bias.shape[0] // 4])  # [units]
    return {"w": weights, "b": bias, "wci": unused, "wcf": unused, "wco": unused, "use_peephole": False}


def _reordered(weights: tf.Tensor) -> tf.Tensor:
    """Bring columns of the gates i, f, g, o into the operation's order i, g, f, o, or back."""
    i, f, g, o = tf.split(weights, 4, axis=-1)  # each [..., units]
    return tf.concat([i, g, f, o], -1)  # [..., 4 * units]


def _plain(
    by_step: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor, h: tf.Tensor, c: tf.Tensor, *, return_sequences: bool
) -> Tensors:
    """Run a block by the equations, with TensorFlow's own gradient; the weights' columns are the gates i, f, g, o."""
    outputs = []
    for x in tf.unstack(by_step):  # [n, inputs]
        i, f, g, o = tf.split(tf.concat([x, h], 1) @ weights + bias, 4, axis=1)  # each [n, units]
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)  # [n, units]
        h = tf.sigmoid(o) * tf.tanh(c)  # [n, units]
        outputs.append(h)
    return [*([tf.stack(outputs)] if return_sequences else []), h, c]  # [steps, n, units], [n, units], [n, units]
