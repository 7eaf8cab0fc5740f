import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqmnist.measure.scores import ClassScore, class_scores, confusion

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=50)

# Of the four threes two are found, one is predicted as 5 and one as 7. No image is predicted as 1.
LABELS = np.array([3, 3, 3, 3, 5, 5, 7, 1], np.uint8)
PREDICTED = np.array([3, 3, 5, 7, 5, 5, 3, 7], np.uint8)


def arrays(pairs: list[tuple[int, int]]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    labels, predicted = np.array(pairs, np.uint8).T
    return labels, predicted


def test_precision_and_recall_of_each_class() -> None:
    by_digit = {score.digit: score for score in class_scores(LABELS, PREDICTED)}

    assert list(by_digit) == list(range(10))
    assert by_digit[3] == ClassScore(3, images=4, precision=2 / 3, recall=2 / 4)
    assert by_digit[5] == ClassScore(5, images=2, precision=2 / 3, recall=1.0)
    assert by_digit[7] == ClassScore(7, images=1, precision=0.0, recall=0.0)


def test_a_class_that_is_never_predicted_has_precision_0() -> None:
    assert class_scores(LABELS, PREDICTED)[1] == ClassScore(1, images=1, precision=0.0, recall=0.0)


def test_a_class_without_images_has_recall_0() -> None:
    scores = class_scores(np.array([3, 3], np.uint8), np.array([3, 4], np.uint8))

    assert scores[4] == ClassScore(4, images=0, precision=0.0, recall=0.0)
    assert scores[9] == ClassScore(9, images=0, precision=0.0, recall=0.0)


def test_confusion_has_true_classes_in_rows() -> None:
    expected = np.zeros((10, 10), np.int64)
    expected[3, [3, 5, 7]] = [2, 1, 1]
    expected[5, 5] = 2
    expected[7, 3] = expected[1, 7] = 1

    matrix = confusion(LABELS, PREDICTED)

    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, expected)


@given(PAIRS)
def test_confusion_counts_each_image_once(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = arrays(pairs)

    matrix = confusion(labels, predicted)

    assert matrix.sum(axis=1).tolist() == np.bincount(labels, minlength=10).tolist()
    assert matrix.sum(axis=0).tolist() == np.bincount(predicted, minlength=10).tolist()
    assert matrix.trace() == (labels == predicted).sum()


@given(PAIRS)
def test_class_scores_agree_with_the_confusion(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = arrays(pairs)
    matrix = confusion(labels, predicted)

    for score in class_scores(labels, predicted):
        hits, images = matrix[score.digit, score.digit], matrix[score.digit].sum()
        assert score.images == images
        assert score.recall == (hits / images if images else 0)
        assert score.precision == (hits / matrix[:, score.digit].sum() if hits else 0)
