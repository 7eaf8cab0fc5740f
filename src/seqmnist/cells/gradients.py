"""What the gradients written by hand have in common.

TensorFlow's own gradient of unrolled steps makes a product for each step and weight, and adds them up; here the
weights' gradients are one product for several steps. The functions are built while a graph is traced.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_GROUP_STEPS = 7  # steps whose weight gradients are one product: few enough for what they read to stay in cache

Tensors = list[tf.Tensor]


def weight_gradients(read: Sequence[Tensors], d_products: Tensors) -> Tensors:
    """Gradients of a kernel and of a bias that the steps share.

    Args:
        read: for each step the tensors [n, k] that stand side by side in its product with the kernel.
        d_products: for each step the gradient of that product [n, m].

    Returns:
        The gradients of the kernel [sum of k, m] and of the bias [m].
    """
    kernel, bias = [], []
    for first in range(0, len(read), _GROUP_STEPS):
        group = slice(first, first + _GROUP_STEPS)
        columns = [tf.concat(tensors, 0) for tensors in zip(*read[group], strict=True)]
        d_product = tf.concat(d_products[group], 0)
        kernel.append(tf.matmul(tf.concat(columns, 1), d_product, transpose_a=True))
        bias.append(tf.reduce_sum(d_product, 0))
    return [tf.add_n(kernel), tf.add_n(bias)]


def parted(upstream: Sequence[tf.Tensor], steps: int, states: int) -> tuple[list[Any], Sequence[tf.Tensor]]:
    """Gradients of each step's output, None for each where only final states were given out, and of those states."""
    outputs, final = upstream[:-states], upstream[-states:]
    return tf.unstack(outputs[0], steps) if outputs else [None] * steps, final


def added(gradient: tf.Tensor, other: Any) -> tf.Tensor:
    """The sum of a gradient and another one, if there is another."""
    return gradient if other is None else gradient + other
