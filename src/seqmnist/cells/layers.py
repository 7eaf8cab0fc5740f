"""The fast Keras layers: RNN, LSTM, GRU, and any other cell type that has a file in `seqmnist.cells.types`."""

import importlib

from seqmnist.cells.recurrent import Recurrent
from seqmnist.cells.types.gru import GRU
from seqmnist.cells.types.lstm import LSTM
from seqmnist.cells.types.rnn import RNN

__all__ = ["GRU", "LSTM", "RNN", "layer_class"]


def layer_class(cell: str) -> type[Recurrent]:
    """Return the layer class of a cell type. Its `stock` is Keras's layer with the same weights, if there is one."""
    layer: type[Recurrent] = getattr(importlib.import_module(f"seqmnist.cells.types.{cell}"), cell.upper())
    return layer
