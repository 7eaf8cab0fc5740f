import numpy as np
import pytest

from seqmnist.measure.calibration import calibration_error, most_wrong, reliability


def probabilities(*answers: tuple[int, float]) -> np.ndarray:
    """Rows with one class of a probability, the rest spread over the others."""
    rows = np.empty((len(answers), 10), np.float32)
    for row, (digit, share) in zip(rows, answers, strict=True):
        row[:] = (1 - share) / 9
        row[digit] = share
    return rows


LABELS = np.array([1, 1, 2, 3], np.uint8)
ANSWERS = probabilities((1, 0.95), (4, 0.91), (2, 0.65), (5, 0.99))


def test_bins_hold_the_mean_probability_and_the_share_right() -> None:
    low, high = reliability(ANSWERS, LABELS)
    assert (low.low, low.count, low.accuracy) == (0.6, 1, 1.0)
    assert (high.low, high.count) == (0.9, 3)
    assert high.confidence == pytest.approx((0.95 + 0.91 + 0.99) / 3)
    assert high.accuracy == pytest.approx(1 / 3)


def test_the_calibration_error_by_hand() -> None:
    expected = (1 * abs(0.65 - 1) + 3 * abs(0.95 - 1 / 3)) / 4
    assert calibration_error(reliability(ANSWERS, LABELS)) == pytest.approx(expected, abs=1e-6)


def test_certainty_falls_into_the_last_bin() -> None:
    (only,) = reliability(probabilities((1, 1.0)), LABELS[:1])
    assert (only.low, only.count) == (0.9, 1)


def test_the_most_certain_mistake_comes_first() -> None:
    assert most_wrong(ANSWERS, LABELS, 5) == [3, 1]
    assert most_wrong(ANSWERS, LABELS, 1) == [3]
