"""Precision and recall of each class, and the confusion matrix."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqmnist.data.splits import CLASSES


class ClassScore(NamedTuple):
    """Precision and recall of one class; precision is 0 where the class is never predicted."""

    digit: int
    images: int
    precision: float
    recall: float


def class_scores(labels: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> list[ClassScore]:
    """Return the scores of the ten classes."""
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, _, images = precision_recall_fscore_support(
        labels, predicted, labels=np.arange(CLASSES), zero_division=0
    )
    return [ClassScore(k, int(images[k]), float(precision[k]), float(recall[k])) for k in range(CLASSES)]


def confusion(labels: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the images of each class (rows) that were taken for each class (columns): int64 [10, 10]."""
    from sklearn.metrics import confusion_matrix

    matrix: NDArray[np.int64] = confusion_matrix(labels, predicted, labels=np.arange(CLASSES))
    return matrix
