"""Tests of a difference between two cells: exact, two-sided, and each with an interval for the effect."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05  # of significance
Verdict = Literal["shown", "not shown", "opposite shown", "one seed: not tested"]


@dataclass(frozen=True)
class Test:
    """What a test of "the effect is 0" came to."""

    effect: float  # the estimate
    interval: tuple[float, float]  # the effects that the data do not contradict
    confidence: float  # of the interval
    test: str  # its name
    # The probability of an effect at least as large in either direction, if there were none; None: not tested.
    p: float | None
    n: int  # how many pairs it is made of

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

    If each difference is as likely as its negative, p is the share of the 2^n ways to choose the signs whose mean is at
    least as far from 0 as the one seen. Of six differences with one sign it is 2 / 64 = 0.031, the smallest there is.

    The means of all subsets cut the line into 2^n intervals, each of which holds the effect with the same probability
    if the differences are independent and symmetric about it (Hartigan 1969): leaving out as many of them at both ends
    gives the interval, with at least 95 % where n allows it (from 6 on), else between the smallest and the largest.

    Args:
        differences: of each pair, at most 20: memory doubles with each.
    """
    values = np.array(differences, float)
    sums, sizes = np.zeros(1), np.zeros(1, int)  # of all 2^n subsets, the empty one first
    for value in values:
        sums, sizes = np.concatenate([sums, sums + value]), np.concatenate([sizes, sizes + 1])
    total, rounding = values.sum(), 1e-9 * np.abs(values).max()
    p = float((np.abs(total - 2 * sums) >= abs(total) - rounding).mean())  # a subset's members are those turned round
    means = np.sort(sums[1:] / sizes[1:])
    outside = max(1, math.floor(LEVEL / 2 * len(sums)))
    return Test(
        effect=float(values.mean()),
        interval=(float(means[outside - 1]), float(means[-outside])),
        confidence=1 - 2 * outside / len(sums),
        test="exact sign-flip test over seeds",
        p=p,
        n=len(values),
    )


def can_show(pairs: int) -> bool:
    """Whether so many pairs can have a p below the level at all."""
    return bool(2 / 2**pairs < LEVEL)


def one_difference(difference: float) -> Test:
    """What one seed gives: an effect, and no test of it."""
    return Test(difference, (difference, difference), 0.0, "none: one seed", None, 1)


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> Test:
    """Exact McNemar test (McNemar 1947) of whether the second of two classifiers is right more often.

    If there is no difference, an image that one alone gets right is as likely to be either's: a binomial test.
    The interval holds the differences that Tango's score test (1998, equation 9) does not reject.

    Args:
        first_right: whether the first is right about each image [n].
        second_right: the same of the second, of the same images.
    """
    from scipy.stats import binomtest

    only_second = int((second_right & ~first_right).sum())
    only_first = int((first_right & ~second_right).sum())
    n, apart = len(first_right), only_first + only_second
    p = float(binomtest(only_second, apart).pvalue) if apart else 1.0
    interval = _tango(only_second, only_first, n)
    return Test((only_second - only_first) / n, interval, 1 - LEVEL, "exact McNemar test", p, n)


def _tango(more: int, less: int, n: int) -> tuple[float, float]:
    """Tango's interval for a difference of paired shares: `more` of n pairs speak for it, `less` against it."""
    from scipy.optimize import brentq

    def score(difference: float) -> float:
        b = (2 * n - more + less) * difference - more - less
        root = math.sqrt(b * b + 8 * n * less * difference * (1 - difference))
        variance = n * ((root - b) / (2 * n) + difference * (1 - difference))  # with the likeliest share against it
        return (more - less - n * difference) / math.sqrt(max(variance, 1e-12))

    z, estimate = NormalDist().inv_cdf(1 - LEVEL / 2), (more - less) / n
    low = brentq(lambda value: score(value) - z, -1, estimate) if estimate > -1 else -1
    high = brentq(lambda value: score(value) + z, estimate, 1) if estimate < 1 else 1
    return float(low), float(high)
