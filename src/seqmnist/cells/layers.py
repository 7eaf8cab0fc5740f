"""The fast Keras layers: RNN, LSTM, GRU, and any other that `seqmnist.cells.types` has a file for."""

import importlib

from seqmnist.cells.recurrent import Recurrent
from seqmnist.cells.types.gru import GRU
from seqmnist.cells.types.lstm import LSTM
from seqmnist.cells.types.rnn import RNN

__all__ = ["GRU", "LSTM", "RNN", "layer_class"]


def layer_class(cell: str) -> type[Recurrent]:
    """The layer of a cell type; its `stock` is the layer of Keras with the same weights, if there is one."""
    layer: type[Recurrent] = getattr(importlib.import_module(f"seqmnist.cells.types.{cell}"), cell.upper())
    return layer
