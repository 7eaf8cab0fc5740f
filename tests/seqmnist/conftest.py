from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from seqmnist.measure.calibration import reliability
from seqmnist.measure.measures import Measures
from seqmnist.training.history import METRICS, Row
from seqmnist.training.runtime import start_tensorflow

LABELS = (np.arange(60) % 10).astype(np.uint8)

Make = Callable[..., Measures]


@pytest.fixture(scope="session")
def tensorflow() -> None:
    """TensorFlow as the stages run it, whichever test is the first to need it."""
    start_tensorflow(2)


@pytest.fixture
def labels() -> Any:
    """The labels of 60 test images."""
    return LABELS


@pytest.fixture
def make_measures() -> Make:
    """Makes what would be measured of a model that is wrong about the first `wrong` of 60 images."""

    def make(seed: int = 42, *, wrong: int = 6, curve: tuple[float, ...] = (0.9, 0.96), after: float = 0.5) -> Measures:
        random = np.random.default_rng(seed)
        answers = LABELS.copy()
        answers[:wrong] = (answers[:wrong] + 1) % 10
        probabilities = np.full((len(LABELS), 10), 0.02, np.float32)
        probabilities[np.arange(len(LABELS)), answers] = 0.82
        rows = [
            Row(seed, epoch, dict.fromkeys(METRICS, 0.4) | {"val.accuracy": accuracy, "test.accuracy": accuracy})
            for epoch, accuracy in enumerate(curve)
        ]
        return Measures(
            seed=seed,
            rows=rows,
            probabilities=probabilities,
            right=answers == LABELS,
            test_loss=0.3,
            test_accuracy=1 - wrong / len(LABELS),
            after={f"{kind} {extra}": after for kind in ("blank", "noise") for extra in (28, 112)},
            flow=dict.fromkeys(("start", "end"), np.array([0.9**k for k in range(28)])),
            bins=reliability(probabilities, LABELS),
            beliefs=random.dirichlet(np.ones(10), (4, 28)).astype(np.float32),
            gates={name: random.random((4, 28, 4)).astype(np.float32) for name in ("i", "f", "o")},
        )

    return make
