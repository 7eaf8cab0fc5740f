"""Memory of a cell: the accuracy when more rows follow the digit."""

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
EXTRA = (28, 112)  # rows after the digit

_NOISE_SEED = 28
_BATCH_IMAGES = 1_000  # images scored at once


def accuracies_after(
    model: keras.Model, split: Split, shards: int, extra: tuple[int, ...] = EXTRA
) -> dict[tuple[Kind, int], float]:
    """Accuracies of a model when rows without meaning follow each digit: what it still knows of it.

    The model was not trained on such rows. Each digit is read once, and the rows of each case after it.

    Args:
        model: images -> logits, with one recurrent layer.
        split: the digits.
        shards: parts that run side by side.
        extra: how many rows in each case; of a view in pixels as many pixels.

    Returns:
        The accuracy by kind and number of the rows: `blank`, or `noise` with pixels drawn evenly from 0 to 1.
    """
    sequences, reader = sequences_of(model, split.images), _Reader(model, shards)
    cases = list(product(KINDS, extra))
    random = {case: generator(_NOISE_SEED, f"{case[0]} rows after a digit") for case in cases}
    right: Counter[tuple[Kind, int]] = Counter()
    for first in range(0, len(split), _BATCH_IMAGES):
        part = slice(first, first + _BATCH_IMAGES)
        digits, labels = sequences[part], split.labels[part]
        states = reader.read(digits, reader.start(len(digits)))
        for kind, rows in cases:
            shape = (len(digits), rows * SIZE // digits.shape[2], digits.shape[2])
            after = np.zeros(shape, np.float32) if kind == "blank" else random[kind, rows].random(shape, np.float32)
            right[kind, rows] += int((reader.answers(reader.read(after, states)) == labels).sum())
    return {case: right[case] / len(split) for case in cases}


class _Reader:
    """A model's cell, which goes on reading from the states that it has."""

    def __init__(self, model: keras.Model, shards: int) -> None:
        self._layer = copied(model.get_layer("cell"), return_state=True)
        self._logits, self._shards = model.get_layer("logits"), shards
        self._read = tf.function(self._states_after, autograph=False)

    def start(self, count: int) -> list[tf.Tensor]:
        """The states before the first step: zeros [count, units]."""
        return [tf.zeros([count, self._layer.units])] * self._layer.state_count

    def read(self, sequences: NDArray[np.float32], states: list[tf.Tensor]) -> list[tf.Tensor]:
        """The states [n, units] after sequences [n, steps, inputs], with as many steps at a time as a digit has."""
        block = SIZE * SIZE // sequences.shape[2]
        for first in range(0, sequences.shape[1], block):
            with fused_steps():  # it is traced at its first call
                states = self._read(tf.constant(sequences[:, first : first + block]), states)
        return states

    def answers(self, states: list[tf.Tensor]) -> NDArray[np.int64]:
        """The most probable classes [n]."""
        classes: NDArray[np.int64] = tf.argmax(self._logits(states[0]), axis=1).numpy()
        return classes

    def _states_after(self, sequences: tf.Tensor, states: list[tf.Tensor]) -> list[tf.Tensor]:
        shards = zip(*(split_rows(tensor, self._shards) for tensor in (sequences, *states)), strict=True)
        parts = [self._layer(own, initial_state=own_states)[1:] for own, *own_states in shards]
        return [tf.concat(part, 0) for part in zip(*parts, strict=True)]
