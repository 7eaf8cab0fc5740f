"""Adam (Kingma and Ba 2015, algorithm 1 in the efficient order of section 2's last paragraph)."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seqmnist.config import Train

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Adam:
    """Adam's two moments for a list of weights, updated by TensorFlow's fused operation.

    The step number and the learning rate come from outside, so the moments are all of its state.
    """

    def __init__(self, weights: "list[keras.Variable]", recipe: Train) -> None:
        import tensorflow as tf

        self._weights: list[tf.Variable] = [weight.value for weight in weights]
        self._recipe = recipe
        self.moments = [
            (tf.Variable(tf.zeros_like(weight)), tf.Variable(tf.zeros_like(weight))) for weight in self._weights
        ]

    def apply(self, gradients: "list[tf.Tensor]", learning_rate: "tf.Tensor", powers: "tf.Tensor") -> None:
        """Update the weights; `powers` float32 [2] holds beta_1 and beta_2 to the power of the step, from 1."""
        import tensorflow as tf

        recipe = self._recipe
        if recipe.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, recipe.clip_norm)
        for weight, (first, second), gradient in zip(self._weights, self.moments, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=weight.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=learning_rate,
                beta1=recipe.beta_1,
                beta2=recipe.beta_2,
                epsilon=recipe.epsilon,
                grad=gradient,
            )


def learning_rates(recipe: Train, steps: NDArray[np.int64], total: int) -> NDArray[np.float32]:
    """The learning rate of each step, counted from 0, of `total`.

    Constant, or cosine decay to 0 without restarts (Loshchilov and Hutter 2017, equation 5).
    """
    factor = 0.5 * (1 + np.cos(np.pi * steps / total)) if recipe.schedule == "cosine" else np.ones(len(steps))
    return (recipe.learning_rate * factor).astype(np.float32)


def beta_powers(recipe: Train, steps: NDArray[np.int64]) -> NDArray[np.float32]:
    """beta_1 and beta_2 to the power of (step + 1), as float32 [steps, 2]."""
    powers = np.stack([recipe.beta_1 ** (steps + 1.0), recipe.beta_2 ** (steps + 1.0)], axis=1)
    return powers.astype(np.float32)
