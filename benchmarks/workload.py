"""Workloads of the benchmarks: sizes, data and number of floating-point operations."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PIXELS = 784
CLASSES = 10
GATES = {"rnn": 1, "lstm": 4, "gru": 3}


@dataclass(frozen=True)
class Workload:
    """The sizes of an epoch: `images` of 784 pixels, read in `steps` by a `cell` of `units`, in batches of `batch`."""

    cell: str
    units: int = 150
    steps: int = 28
    batch: int = 150
    images: int = 55_000

    @property
    def inputs(self) -> int:
        """Number of pixels in a step."""
        return PIXELS // self.steps

    def flop(self) -> int:
        """Return the number of floating-point operations in an epoch's matrix products.

        They are the forward pass, the gradient to the state and the gradient to the weights. Images need no gradient;
        the last layer's few operations are left out.
        """
        to_gates = 2 * self.images * self.steps * GATES[self.cell] * self.units
        forward = to_gates * (self.inputs + self.units)
        return 2 * forward + to_gates * self.units

    def data(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return noise images uint8 [images, 28, 28] and labels [images]; training time does not depend on them."""
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (self.images, 28, 28), dtype=np.uint8)
        return images, random.integers(0, CLASSES, self.images, dtype=np.uint8)
