"""Alternative texts of the figures, for readers who cannot see them."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from seqmnist.measure.calibration import MIN_BIN_IMAGES
from seqmnist.measure.measures import FLOW_DIGITS, Measured
from seqmnist.measure.metrics import spread

FLOW = f"How strongly the last state depends on one some steps before: mean of {FLOW_DIGITS} validation digits."
CALIBRATION = (
    f"Share of right answers by their probability, of {MIN_BIN_IMAGES} images and more; "
    "the expected calibration errors are in the table of them."
)


def learning_curves(measured: Measured) -> str:
    """Describe the learning curves by each cell's best validation accuracy."""
    best = [f"{cell} reaches {max(max(one.curve) for one in models):.4f}" for cell, models in measured.items()]
    return f"Learning curves. In validation accuracy {', '.join(best)}."


def beliefs(measured: Measured, digits: Iterable[int]) -> str:
    """Describe the predicted class and probability of each example digit after its last step."""
    said = [
        f"{cell} ends at {', '.join(f'{last.argmax()} with {last.max():.0%}' for last in one.beliefs[:, -1])}"
        for cell, (one, *_) in measured.items()
    ]
    return f"What each cell believes while it reads the digits {', '.join(map(str, digits))}: {'; '.join(said)}."


def gradient_flow(measured: Measured) -> str:
    """Describe gradient flow over the whole sequence, at the start and the end of training."""
    said = [FLOW]
    for cell, models in measured.items():
        last = len(models[0].flow["end"]) - 1
        start, end = (float(np.mean([one.flow[when][-1] for one in models])) for when in ("start", "end"))
        said.append(f"{cell}: over {last} steps {start:.2g} at the start and {end:.2g} at the end of training.")
    return " ".join(said)


def rows_after(measured: Measured) -> str:
    """Describe the accuracies when blank or noise rows follow the digit."""
    said = ["Accuracy when blank or noise rows follow the digit."]
    for cell, models in measured.items():
        each = [f"{spread([one.after[name] for one in models])} after {name} rows" for name in models[0].after]
        said.append(f"{cell}: {', '.join(each)}.")
    return " ".join(said)


def confusion(title: str, matrix: NDArray[np.int64]) -> str:
    """Describe a confusion matrix [10, 10] by its most frequent mistake."""
    mistakes = matrix - np.diag(np.diag(matrix))
    label, guess = (int(k) for k in np.unravel_index(mistakes.argmax(), mistakes.shape))
    most = f"a {label} taken for a {guess}, {mistakes[label, guess]:,} times"
    return f"{title}. The most frequent of {mistakes.sum():,} mistakes is {most}."
