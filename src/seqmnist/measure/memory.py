"""Memory of a cell: the accuracy when rows without meaning follow the digit."""

from collections import Counter
from itertools import product
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seqmnist.cells.model import sequences_of
from seqmnist.cells.recurrent import fused_steps
from seqmnist.data.splits import SIZE, Split
from seqmnist.measure.layer_copy import copied
from seqmnist.randomness import generator
from seqmnist.training.graph import split_rows

Kind = Literal["blank", "noise"]
KINDS: tuple[Kind, ...] = ("blank", "noise")
EXTRA = (28, 112)  # numbers of rows after the digit

_NOISE_SEED = 28
_BATCH_IMAGES = 1_000  # images scored at once


def accuracies_after(
    model: keras.Model, split: Split, shards: int, extra: tuple[int, ...] = EXTRA
) -> dict[tuple[Kind, int], float]:
    """Return a model's accuracies when rows without meaning follow each digit.

    The model was not trained on such rows. It reads each digit once, and then the rows of each case.

    Args:
        model: Model of images to logits, with one recurrent layer.
        split: Digits and labels.
        shards: Number of parts of a batch that run side by side.
        extra: Number of rows in each case. For views in pixels, it is as many pixels as these rows have.

    Returns:
        The accuracy by kind and number of the rows: `blank`, or `noise` with pixels drawn evenly from 0 to 1.
    """
    sequences, reader = sequences_of(model, split.images), _Reader(model, shards)
    cases = list(product(KINDS, extra))
    random = {case: generator(_NOISE_SEED, f"{case[0]} rows after a digit") for case in cases}
    right: Counter[tuple[Kind, int]] = Counter()
    for first in range(0, len(split), _BATCH_IMAGES):
        part = slice(first, first + _BATCH_IMAGES)
        digits, labels = sequences[part], split.labels[part]  # [batch, steps, inputs], [batch]
        states = reader.read(digits, reader.start(len(digits)))  # each [batch, units]
        for kind, rows in cases:
            shape = (len(digits), rows * SIZE // digits.shape[2], digits.shape[2])
            after = np.zeros(shape, np.float32) if kind == "blank" else random[kind, rows].random(shape, np.float32)
            right[kind, rows] += int((reader.answers(reader.read(after, states)) == labels).sum())
    return {case: right[case] / len(split) for case in cases}


class _Reader:
    """A model's cell, which can continue reading from any states."""

    def __init__(self, model: keras.Model, shards: int) -> None:
        self._layer = copied(model.get_layer("cell"), return_state=True)
        self._logits, self._shards = model.get_layer("logits"), shards
        self._read = tf.function(self._states_after, autograph=False)

    def start(self, count: int) -> list[tf.Tensor]:
        """Return the states before the first step: zeros, each [count, units]."""
        return [tf.zeros([count, self._layer.units])] * self._layer.state_count

    def read(self, sequences: NDArray[np.float32], states: list[tf.Tensor]) -> list[tf.Tensor]:
        """Return the states, each [n, units], after sequences [n, steps, inputs].

        At most as many steps as a digit has are read in one graph call.
        """
        block = SIZE * SIZE // sequences.shape[2]
        for first in range(0, sequences.shape[1], block):
            with fused_steps():  # the graph is traced at its first call
                states = self._read(tf.constant(sequences[:, first : first + block]), states)  # each [n, units]
        return states

    def answers(self, states: list[tf.Tensor]) -> NDArray[np.int64]:
        """Return the most probable classes int64 [n] by the states, each [n, units]."""
        classes: NDArray[np.int64] = tf.argmax(self._logits(states[0]), axis=1).numpy()  # [n]
        return classes

    def _states_after(self, sequences: tf.Tensor, states: list[tf.Tensor]) -> list[tf.Tensor]:
        shards = zip(*(split_rows(tensor, self._shards) for tensor in (sequences, *states)), strict=True)
        parts = [self._layer(own, initial_state=own_states)[1:] for own, *own_states in shards]  # each [shard, units]
        return [tf.concat(part, 0) for part in zip(*parts, strict=True)]  # each [n, units]
