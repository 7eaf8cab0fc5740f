from typing import Any

import numpy as np

from seqmnist.cells.model import build
from seqmnist.config import Cell, Sequence

UNITS = 5


def model_of(kind: str, view: str = "rows", scale: float = 1.0, units: int = UNITS) -> Any:
    """A model whose cell has fresh weights times `scale`."""
    cell = Cell.model_validate({"type": kind, "units": units, "shards": 2, "train": {}})
    model = build(cell, Sequence.model_validate({"view": view}), 3)
    layer = model.get_layer("cell")
    layer.set_weights([scale * weight for weight in layer.get_weights()])
    return model


def images(count: int) -> np.ndarray:
    """Noise, uint8 [count, 28, 28]."""
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28)).astype(np.uint8)
