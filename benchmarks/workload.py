"""What is trained in a measurement, and how much work that is at least."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PIXELS = 784
CLASSES = 10
GATES = {"rnn": 1, "lstm": 4, "gru": 3}


@dataclass(frozen=True)
class Workload:
    """An epoch: `images` of 784 pixels, read in `steps`, by a cell of `units`, in batches of `batch`."""

    cell: str
    units: int = 150
    steps: int = 28
    batch: int = 150
    images: int = 55_000

    @property
    def inputs(self) -> int:
        """Pixels a step."""
        return PIXELS // self.steps

    def flop(self) -> int:
        """Floating-point operations of an epoch's matrix products.

        Forward, gradient to the state, gradient to the weights; none to the images. The few of the last layer are
        left out.
        """
        to_gates = 2 * self.images * self.steps * GATES[self.cell] * self.units
        forward = to_gates * (self.inputs + self.units)
        return 2 * forward + to_gates * self.units

    def data(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Noise images [images, 28, 28] and labels [images]: how long training takes does not depend on them."""
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (self.images, 28, 28), dtype=np.uint8)
        return images, random.integers(0, CLASSES, self.images, dtype=np.uint8)
