"""Tests of a difference between two cells: exact, two-sided, and each with an interval for the effect."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05  # of significance
Verdict = Literal["shown", "not shown", "opposite shown", "one seed: not tested"]


@dataclass(frozen=True)
class Test:
    """What a test of "the effect is 0" came to.

    Attributes:
        effect: the estimate.
        interval: the effects that the data do not contradict.
        confidence: of the interval.
        test: its name.
        p: the probability of an effect at least as large in either direction, if there were none; None: not tested.
        n: how many pairs it is made of.
    """

    effect: float
    interval: tuple[float, float]
    confidence: float
    test: str
    p: float | None
    n: int

    @property
    def verdict(self) -> Verdict:
        """Whether a positive effect is shown at the level of 5 %."""
        if self.p is None:
            return "one seed: not tested"
        if self.p >= LEVEL or self.effect == 0:
            return "not shown"
        return "shown" if self.effect > 0 else "opposite shown"


def sign_flip(differences: Sequence[float]) -> Test:
    """Exact sign-flip test of paired differences (Fisher 1935, section 21), and Hartigan's interval.

    If there is no effect, a difference is as likely as its negative: p is the share of the 2^n ways to choose the signs
    whose mean is at least as far from 0 as the one seen. Of six differences with one sign it is 2 / 64 = 0.031.

    The means of all subsets cut the line into 2^n intervals, each of which holds the effect with the same probability
    (Hartigan 1969): leaving out as many of them at both ends gives the interval, with at least 95 % where n allows it
    (from 6 on), else between the smallest and the largest difference.
    """
    values = np.array(differences, float)
    signs = np.array(list(product((1, -1), repeat=len(values))))  # [2^n, n]
    means = np.abs(signs @ values) / len(values)
    p = float((means >= means[0] * (1 - 1e-12)).mean())
    chosen = signs[1:] < 0  # every subset but the empty one
    subsets = np.sort((chosen @ values) / chosen.sum(axis=1))
    outside = max(1, math.floor(LEVEL / 2 * len(signs)))
    return Test(
        effect=float(values.mean()),
        interval=(float(subsets[outside - 1]), float(subsets[-outside])),
        confidence=1 - 2 * outside / len(signs),
        test="exact sign-flip test over seeds",
        p=p,
        n=len(values),
    )


def one_difference(difference: float) -> Test:
    """What one seed gives: an effect, and no test of it."""
    return Test(difference, (difference, difference), 0.0, "none: one seed", None, 1)


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> Test:
    """Exact McNemar test (McNemar 1947) of whether the second of two classifiers is right more often.

    If there is no difference, an image that one alone gets right is as likely to be either's: a binomial test.
    The interval is the exact one of that share (Clopper and Pearson 1934), times the share of such images.

    Args:
        first_right: whether the first is right about each image [n].
        second_right: the same of the second, of the same images.
    """
    from scipy.stats import binomtest

    only_second = int((second_right & ~first_right).sum())
    only_first = int((first_right & ~second_right).sum())
    n, apart = len(first_right), only_first + only_second
    if apart == 0:
        return Test(0.0, (0.0, 0.0), 0.95, "exact McNemar test", 1.0, n)
    result = binomtest(only_second, apart)
    shares = result.proportion_ci(1 - LEVEL, method="exact")
    low, high = ((2 * share - 1) * apart / n for share in (shares.low, shares.high))
    return Test((only_second - only_first) / n, (low, high), 1 - LEVEL, "exact McNemar test", float(result.pvalue), n)
