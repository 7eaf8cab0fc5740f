"""Trained cells that return their class probabilities at each step of one image."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqmnist.cells import saved
from seqmnist.config import Config
from seqmnist.measure.beliefs import GATES, beliefs, gates
from seqmnist.paths import model_folder

if TYPE_CHECKING:
    import keras


class Reader(NamedTuple):
    """A trained cell, as the configuration names it."""

    name: str
    model: "keras.Model"
    has_gates: bool  # True for an LSTM

    def read(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        """Return class probabilities and mean gates at each step of an image uint8 [28, 28], as JSON values."""
        read = gates(self.model, image[None]) if self.has_gates else {}
        return {
            "cell": self.name,
            "beliefs": beliefs(self.model, image[None])[0].round(4).tolist(),  # [steps][10]
            "gates": {GATES[name]: gate[0].mean(axis=1).round(4).tolist() for name, gate in read.items()},  # [steps]
        }


def load_readers(configuration: Config) -> list[Reader]:
    """Load the pipeline's trained cells. Only the first seed's models are used.

    Raises:
        UserError: A model is missing or broken, or does not match the configuration.
    """
    readers = []
    for name, cell in configuration.cells.items():
        saved.check(model_folder(name), cell, configuration.sequence)
        model, described = saved.load(model_folder(name), configuration.seeds[0])
        readers.append(Reader(name, model, has_gates=described.type == "lstm"))
    return readers
