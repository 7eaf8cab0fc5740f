"""Adam (Kingma and Ba 2015, algorithm 1 in the more efficient order of section 2's last paragraph)."""

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seqmnist.config import Train


class Adam:
    """Adam for a list of weights, by TensorFlow's fused operation.

    Its state is the two moments of each weight, and the weights' moving averages where the recipe has them. The step
    number, and all that depends on it, comes from outside.
    """

    def __init__(self, weights: list[keras.Variable], recipe: Train) -> None:
        self._weights: list[tf.Variable] = [weight.value for weight in weights]
        self._recipe = recipe
        self.moments = [
            (tf.Variable(tf.zeros_like(weight)), tf.Variable(tf.zeros_like(weight))) for weight in self._weights
        ]
        self.averages = [tf.Variable(weight) for weight in self._weights] if recipe.averaging else []

    def apply(self, gradients: list[tf.Tensor], step: tf.Tensor) -> None:
        """Update the weights and averages.

        Args:
            gradients: Gradient of each weight, of its shape.
            step: Row of `step_values`, float32 [4].
        """
        recipe = self._recipe
        if recipe.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, recipe.clip_norm)  # each of its weight's shape
        for weight, (first, second), gradient in zip(self._weights, self.moments, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=weight.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=step[1],
                beta2_power=step[2],
                lr=step[0],
                beta1=recipe.beta_1,
                beta2=recipe.beta_2,
                epsilon=recipe.epsilon,
                grad=gradient,
            )
        if self.averages:
            for weight, average in zip(self._weights, self.averages, strict=True):
                average.assign_add((1 - step[3]) * (weight - average))


def step_values(recipe: Train, steps: NDArray[np.int64], total: int) -> NDArray[np.float32]:
    """Return the values of Adam that change from step to step.

    Args:
        recipe: Recipe of the training.
        steps: Numbers of the steps, from 0, int64 [steps].
        total: Number of steps in the whole training.

    Returns:
        float32 [steps, 4]: the learning rate, beta_1 and beta_2 to the power of (step + 1), the decay of the average.
    """
    # All [steps]. The rate is constant, or decays to 0 by a cosine (Loshchilov and Hutter 2017, equation 5).
    factors = 0.5 * (1 + np.cos(np.pi * steps / total)) if recipe.schedule == "cosine" else np.ones(len(steps))
    powers = (recipe.beta_1 ** (steps + 1.0), recipe.beta_2 ** (steps + 1.0))
    # The decay of the average (Polyak and Juditsky 1992) starts low: 1/10, 2/11, 3/12 and so on. So the average soon
    # forgets the random first weights.
    decays = np.minimum(recipe.averaging, (steps + 1.0) / (steps + 10.0))
    return np.stack([recipe.learning_rate * factors, *powers, decays], axis=1).astype(np.float32)  # [steps, 4]
