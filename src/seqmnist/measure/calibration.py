"""Whether a model's probabilities mean what they say, and where it is most wrong."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
MIN_BIN_IMAGES = 20  # images in a bin that a picture shows: the share right of fewer is chance


@dataclass(frozen=True)
class Bin:
    """Predictions of a probability from `low` on: how many, their mean probability, the share right."""

    low: float
    count: int
    confidence: float
    accuracy: float


def reliability(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> list[Bin]:
    """The predictions in ten bins of equal width by their probability; empty bins are left out.

    Source: Guo, Pleiss, Sun and Weinberger 2017, section 2.

    Args:
        probabilities: [n, 10].
        labels: [n].
    """
    confidences = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    index = np.minimum((confidences * BINS).astype(int), BINS - 1)
    found = []
    for k in range(BINS):
        here = index == k
        if here.any():
            found.append(Bin(k / BINS, int(here.sum()), float(confidences[here].mean()), float(right[here].mean())))
    return found


def shown(bins: list[Bin]) -> list[Bin]:
    """Those of enough images for a picture."""
    return [one for one in bins if one.count >= MIN_BIN_IMAGES]


def calibration_error(bins: list[Bin]) -> float:
    """The expected calibration error: the mean distance of probability and accuracy, weighted by images."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.confidence - one.accuracy) for one in bins) / total


def most_wrong(probabilities: NDArray[np.float32], labels: NDArray[np.uint8], count: int) -> list[int]:
    """The images that the model is wrong about with the highest probability, that first; the earlier one on ties."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    order = np.argsort(-probabilities[wrong].max(axis=1), kind="stable")
    return [int(image) for image in wrong[order[:count]]]
