"""Copies of a model's recurrent layer that return more than its last output."""

from typing import TypeVar

from seqmnist.cells.recurrent import Recurrent

AnyRecurrent = TypeVar("AnyRecurrent", bound=Recurrent)


def copied(layer: AnyRecurrent, **options: bool) -> AnyRecurrent:
    """Return a layer with the same weights; `options` are `return_sequences` and `return_state`."""
    copy = type(layer)(layer.units, dtype=layer.dtype, **options)
    copy.build((None, None, layer.kernel.shape[0]))
    copy.set_weights(layer.get_weights())
    return copy
