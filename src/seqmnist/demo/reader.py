"""What each cell believes while it reads one image."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqmnist.cells import saved
from seqmnist.config import Config
from seqmnist.measure.beliefs import GATES, beliefs, gates
from seqmnist.paths import model_folder

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Reader:
    """A trained cell.

    Attributes:
        name: of the cell in the configuration.
        model: of the pipeline's first seed.
        has_gates: whether it is an LSTM.
    """

    name: str
    model: "keras.Model"
    has_gates: bool

    def read(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        """The cell's beliefs about an image uint8 [28, 28], for JSON.

        Returns:
            `cell`, its name; `beliefs` [steps][10], the probabilities after each step; `gates`, by the gate's name the
            mean over units [steps], empty for a cell without an LSTM's gates.
        """
        read = gates(self.model, image[None]) if self.has_gates else {}
        return {
            "cell": self.name,
            "beliefs": beliefs(self.model, image[None])[0].round(4).tolist(),
            "gates": {GATES[name]: gate[0].mean(axis=1).round(4).tolist() for name, gate in read.items()},
        }


def load_readers(configuration: Config) -> list[Reader]:
    """The pipeline's trained cells, of the first seed.

    Raises:
        UserError: a model is missing, broken, or of another configuration.
    """
    readers = []
    for name, cell in configuration.cells.items():
        saved.check(model_folder(name), cell, configuration.sequence)
        model, described = saved.load(model_folder(name), configuration.seeds[0])
        readers.append(Reader(name, model, has_gates=described.type == "lstm"))
    return readers
