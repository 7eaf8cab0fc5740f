"""Calibration of a model's probabilities, and its most certain mistakes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
MIN_BIN_IMAGES = 20  # fewest images of a bin in a picture: with fewer, the accuracy is chance


@dataclass(frozen=True)
class Bin:
    """Predictions whose probability is in one range."""

    low: float  # lower end of the range
    count: int  # number of predictions
    confidence: float  # their mean probability
    accuracy: float  # share of them that is right


def reliability(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> list[Bin]:
    """Group predictions by their probability into ten bins of equal width; empty bins are left out.

    Source: Guo, Pleiss, Sun and Weinberger 2017, section 2.

    Args:
        probabilities: Class probabilities float32 [n, 10].
        labels: Labels uint8 [n].
    """
    confidences = probabilities.max(axis=1).astype(np.float64)  # [n]
    right = probabilities.argmax(axis=1) == labels  # [n]
    index = np.minimum((confidences * BINS).astype(int), BINS - 1)  # bin of each prediction [n]
    found = []
    for k in range(BINS):
        here = index == k  # [n]
        if here.any():
            found.append(Bin(k / BINS, int(here.sum()), float(confidences[here].mean()), float(right[here].mean())))
    return found


def shown(bins: list[Bin]) -> list[Bin]:
    """Return the bins with enough images for a picture."""
    return [one for one in bins if one.count >= MIN_BIN_IMAGES]


def calibration_error(bins: list[Bin]) -> float:
    """Return the expected calibration error: the mean of |probability - accuracy| over the bins, weighted by images."""
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.confidence - one.accuracy) for one in bins) / total


def most_wrong(probabilities: NDArray[np.float32], labels: NDArray[np.uint8], count: int) -> list[int]:
    """Return the indices of the `count` wrong predictions with the highest probabilities, the highest first.

    Args:
        probabilities: Class probabilities float32 [n, 10].
        labels: Labels uint8 [n].
        count: Largest number of indices.
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)  # [wrong]
    order = np.argsort(-probabilities[wrong].max(axis=1), kind="stable")  # [wrong], the earlier image first on ties
    return [int(image) for image in wrong[order[:count]]]
