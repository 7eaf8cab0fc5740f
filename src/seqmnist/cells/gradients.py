"""Parts that the cells' hand-written gradients share.

TensorFlow's own gradient of unrolled steps makes one product for each step and weight, and adds them up. Here one
product serves several steps. The functions run while a graph is traced.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_GROUP_STEPS = 7  # steps in one product of weight gradients: so few that their inputs stay in the processor's cache

Tensors = list[tf.Tensor]


def weight_gradients(read: Sequence[Tensors], d_products: Tensors) -> Tensors:
    """Return the gradients of a kernel and of a bias that all steps share.

    Args:
        read: Tensors [n, k] of each step that stand side by side in its product with the kernel.
        d_products: Gradient [n, m] of that product for each step.

    Returns:
        The gradients of the kernel [sum of k, m] and of the bias [m].
    """
    kernel, bias = [], []
    for first in range(0, len(read), _GROUP_STEPS):
        group = slice(first, first + _GROUP_STEPS)
        columns = [tf.concat(tensors, 0) for tensors in zip(*read[group], strict=True)]  # each [steps * n, k]
        d_product = tf.concat(d_products[group], 0)  # [steps * n, m]
        kernel.append(tf.matmul(tf.concat(columns, 1), d_product, transpose_a=True))  # [sum of k, m]
        bias.append(tf.reduce_sum(d_product, 0))  # [m]
    return [tf.add_n(kernel), tf.add_n(bias)]  # [sum of k, m] and [m]


def parted(upstream: Sequence[tf.Tensor], steps: int, states: int) -> tuple[list[Any], Sequence[tf.Tensor]]:
    """Split upstream gradients into those of each step's output and those of the final states.

    Where the layer gives out the final states alone, each step's gradient is None.

    Args:
        upstream: Gradient of all outputs [steps, n, units], where they were given out; then of each final state
            [n, units].
        steps: Number of steps.
        states: Number of states that a step hands to the next.
    """
    outputs, final = upstream[:-states], upstream[-states:]
    return tf.unstack(outputs[0], steps) if outputs else [None] * steps, final  # each [n, units]


def added(gradient: tf.Tensor, other: Any) -> tf.Tensor:
    """Return a gradient plus another one, which may be None."""
    return gradient if other is None else gradient + other
