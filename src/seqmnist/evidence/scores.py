"""What a model's predictions on labelled images are worth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqmnist.data.splits import CLASSES


@dataclass(frozen=True)
class ClassScore:
    """Precision and recall of one class; precision is 0 where the class is never predicted."""

    digit: int
    images: int
    precision: float
    recall: float


def class_scores(labels: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> list[ClassScore]:
    """The scores of the ten classes."""
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, _, images = precision_recall_fscore_support(
        labels, predicted, labels=np.arange(CLASSES), zero_division=0
    )
    return [
        ClassScore(digit, int(images[digit]), float(precision[digit]), float(recall[digit])) for digit in range(CLASSES)
    ]


def confusion(labels: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many images of each class (rows) were taken for each class (columns): int64 [10, 10]."""
    from sklearn.metrics import confusion_matrix

    matrix: NDArray[np.int64] = confusion_matrix(labels, predicted, labels=np.arange(CLASSES))
    return matrix
