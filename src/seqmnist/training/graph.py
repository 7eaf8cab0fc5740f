"""The two graphs that do the work: training on a few batches, and scoring.

Both split a batch into shards, which go through the model side by side. Their results are added in a fixed order, so
they have the same bits on any number of cores.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seqmnist.cells.recurrent import fused_steps
from seqmnist.config import Train
from seqmnist.data.splits import CLASSES, SIZE, Split
from seqmnist.training.augmentation import moved
from seqmnist.training.optimizer import Adam

_BATCH_IMAGES = 1_000  # images scored in a graph call, which takes well under half a second


class TrainingGraph:
    """A graph that trains on batches of one split: model, loss, gradients and update in one call."""

    def __init__(self, model: keras.Model, split: Split, recipe: Train, shards: int) -> None:
        self._model, self._shards = model, shards
        self._smoothing, self._moves = recipe.label_smoothing, recipe.moves_images
        self._optimizer = Adam(model.trainable_variables, recipe)
        self._split = split
        image, integers = tf.TensorSpec([None, SIZE, SIZE], tf.uint8), tf.TensorSpec([None], tf.int32)
        signature = [image, integers, integers, tf.TensorSpec([None, 4]), tf.TensorSpec([None, 6])]
        with fused_steps():
            self._run = tf.function(self._run_batches).get_concrete_function(*signature)

    def run(
        self, order: NDArray[np.int32], bounds: NDArray[np.int32], steps: NDArray[np.float32], maps: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Train on the batches `order[bounds[k]:bounds[k + 1]]`.

        Args:
            order: Indices of the epoch's images, int32 [images].
            bounds: Bounds of the batches within `order`, int32 [batches + 1].
            steps: Values of each step, float32 [batches, 4]: see `step_values`.
            maps: Maps of the epoch's images, float32 [images, 6]: see `epoch_maps`.

        Returns:
            The mean loss of each batch before its update, float32 [batches]; the number of its images whose class was
            right, int32 [batches].
        """
        # The split stays in NumPy, and each call gets the images that it needs: TensorFlow would copy the whole split.
        used = order[bounds[0] : bounds[-1]]  # [n]
        images, labels = self._split.images[used], self._split.labels[used].astype(np.int32)  # [n, 28, 28], [n]
        own_maps = maps[used] if self._moves else maps  # [n, 6] or [0, 6]
        arguments = map(tf.constant, (images, labels, bounds - bounds[0], steps, own_maps))
        losses, correct = self._run(*arguments)  # [batches], [batches]
        return losses.numpy(), correct.numpy()

    def weights(self) -> list[NDArray[np.float32]]:
        """Return the weights that are scored and saved: the model's, or the recipe's moving averages of them."""
        return [variable.numpy() for variable in self._optimizer.averages or self._weights()]

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the model the averages as its weights until the end of `with`, where the recipe has averages."""
        own = [weight.numpy() for weight in self._weights()]
        _assign(self._weights(), self.weights())
        try:
            yield
        finally:
            _assign(self._weights(), own)

    def state(self) -> list[NDArray[np.float32]]:
        """Return all that the next batch depends on: weights, Adam's moments, averages."""
        return [variable.numpy() for variable in self._variables()]

    def restore(self, state: list[NDArray[np.float32]]) -> None:
        """Continue from a result of `state`."""
        _assign(self._variables(), state)

    def _variables(self) -> list[tf.Variable]:
        moments = [moment for both in self._optimizer.moments for moment in both]
        return [*self._weights(), *moments, *self._optimizer.averages]

    def _weights(self) -> list[tf.Variable]:
        return [weight.value for weight in self._model.trainable_variables]

    def _run_batches(
        self, images: tf.Tensor, labels: tf.Tensor, bounds: tf.Tensor, steps: tf.Tensor, maps: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Train on each batch of a call.

        Args:
            images: Images uint8 [n, 28, 28].
            labels: Labels int32 [n].
            bounds: Bounds of the batches int32 [batches + 1], from 0 to n.
            steps: Values of each step float32 [batches, 4].
            maps: Maps float32 [n, 6], or [0, 6] where images are not moved.
        """
        count = tf.shape(steps)[0]
        losses = tf.TensorArray(tf.float32, count)
        correct = tf.TensorArray(tf.int32, count)
        for k in tf.range(count):
            start, end = bounds[k], bounds[k + 1]
            loss, right = self._step(images[start:end], labels[start:end], maps[start:end], steps[k])
            losses = losses.write(k, loss)
            correct = correct.write(k, right)
        return losses.stack(), correct.stack()  # [batches], [batches]

    def _step(
        self, images: tf.Tensor, labels: tf.Tensor, maps: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Update the weights by one batch; return its mean loss, and the number of images whose class was right."""
        size = tf.cast(tf.size(labels), tf.float32)
        losses, rights, gradients = [], [], []  # of each shard: float32 [], int32 [], and a list of each weight's shape
        shards = (split_rows(part, self._shards) for part in (images, labels, maps))
        for own_images, own_labels, own_maps in zip(*shards, strict=True):
            seen = moved(own_images, own_maps) if self._moves else own_images  # uint8 [shard, 28, 28]
            with tf.GradientTape() as tape:
                logits = self._model(seen, training=True)  # [shard, 10]
                loss = tf.reduce_sum(smoothed_cross_entropy(own_labels, logits, self._smoothing)) / size  # []
            losses.append(loss)
            rights.append(count_right(own_labels, logits))
            gradients.append(tape.gradient(loss, self._weights()))
        self._optimizer.apply([tf.add_n(parts) for parts in zip(*gradients, strict=True)], step)
        return tf.add_n(losses), tf.add_n(rights)  # [], []


def _assign(variables: list[tf.Variable], values: list[NDArray[np.float32]]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


class ScoringGraph:
    """A graph that computes a model's logits, and from them its loss and accuracy on a split."""

    def __init__(self, model: keras.Model, shards: int) -> None:
        self._model, self._shards = model, shards
        signature = [tf.TensorSpec([None, SIZE, SIZE], tf.uint8)]
        with fused_steps():
            self._logits = tf.function(self._split_logits).get_concrete_function(*signature)

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits float32 [n, 10] of images uint8 [n, 28, 28]."""
        starts = range(0, len(images), _BATCH_IMAGES)
        return np.concatenate([self._logits(tf.constant(images[s : s + _BATCH_IMAGES])).numpy() for s in starts])

    def score(self, split: Split) -> tuple[float, float]:
        """Return the mean cross-entropy (nats) and the accuracy on a split."""
        return score_logits(self.logits(split.images), split.labels)

    def _split_logits(self, images: tf.Tensor) -> tf.Tensor:
        parts = split_rows(images, self._shards)  # each uint8 [shard, 28, 28]
        return tf.concat([self._model(part, training=False) for part in parts], axis=0)  # [n, 10]


def score_logits(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> tuple[float, float]:
    """Return mean cross-entropy (nats) and accuracy of logits [n, 10] for labels [n], computed in float64."""
    wide = logits.astype(np.float64)  # [n, 10]
    with np.errstate(invalid="ignore"):  # a diverged model's logits are infinite, its loss is NaN
        wide -= wide.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(wide).sum(axis=1))  # [n]
    losses = log_sums - wide[np.arange(len(labels)), labels]  # [n]
    return float(losses.mean()), float((logits.argmax(axis=1) == labels).mean())


def split_rows(rows: tf.Tensor, shards: int) -> list[tf.Tensor]:
    """Split the first axis into `shards` parts whose lengths differ by at most one."""
    size = tf.shape(rows)[0]
    return [rows[size * k // shards : size * (k + 1) // shards] for k in range(shards)]


def smoothed_cross_entropy(labels: tf.Tensor, logits: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Return the cross-entropy [n] of logits [n, 10] with smoothed labels (Szegedy et al. 2016, section 7).

    Args:
        labels: Labels int32 [n].
        logits: Logits float32 [n, 10].
        smoothing: Probability that is taken from the label and spread evenly over all classes.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)  # [n]
    if smoothing == 0:
        return losses
    uniform = -tf.reduce_sum(tf.nn.log_softmax(logits), axis=1) / CLASSES  # [n]
    return (1 - smoothing) * losses + smoothing * uniform  # [n]


def count_right(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Count the rows whose largest logit is at their label, as int32 []."""
    return tf.reduce_sum(tf.cast(tf.argmax(logits, axis=1, output_type=tf.int32) == labels, tf.int32))
