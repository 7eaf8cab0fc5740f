"""Exact two-sided tests of a difference between two cells, each with an interval for the effect."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05  # level of significance
Verdict = Literal["shown", "not shown", "opposite shown", "one seed: not tested"]


@dataclass(frozen=True)
class Test:
    """The result of a test of "the effect is 0"."""

    effect: float  # estimate
    interval: tuple[float, float]  # effects that the data do not contradict
    confidence: float  # confidence of the interval
    test: str  # name of the test
    # Probability of an effect at least as large in either direction if there were none; None: not tested.
    p: float | None
    n: int  # number of pairs

    @property
    def verdict(self) -> Verdict:
        """The verdict on a positive effect, at the level of 5 %."""
        if self.p is None:
            return "one seed: not tested"
        if self.p >= LEVEL or self.effect == 0:
            return "not shown"
        return "shown" if self.effect > 0 else "opposite shown"


def sign_flip(differences: Sequence[float]) -> Test:
    """Do an exact sign-flip test of paired differences (Fisher 1935, section 21), with Hartigan's interval.

    If there is no effect, each difference is as likely as its negative. p is the share of the 2^n choices of signs
    whose mean is at least as far from 0 as the observed one. For six differences of one sign, p is 2 / 64 = 0.031.

    The means of all subsets cut the line into 2^n intervals. Each holds the effect with the same probability, if the
    differences are independent and symmetric about it (Hartigan 1969). The test's interval leaves out as many of them
    at both ends as 95 % allow. With fewer than six differences, it reaches from the smallest to the largest mean.

    Args:
        differences: Difference of each pair, at most 20: memory doubles with each.
    """
    values = np.array(differences, float)
    sums, sizes = np.zeros(1), np.zeros(1, int)  # of all subsets, the empty one first; [2^n] at the end
    for value in values:
        sums, sizes = np.concatenate([sums, sums + value]), np.concatenate([sizes, sizes + 1])
    total, rounding = values.sum(), 1e-9 * np.abs(values).max()
    p = float((np.abs(total - 2 * sums) >= abs(total) - rounding).mean())  # a subset: those whose sign is turned
    means = np.sort(sums[1:] / sizes[1:])  # [2^n - 1]
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
    """Return whether a number of pairs allows a p below the level."""
    return bool(2 / 2**pairs < LEVEL)


def one_difference(difference: float) -> Test:
    """Return the effect of a single seed, which is not tested."""
    return Test(difference, (difference, difference), 0.0, "none: one seed", None, 1)


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> Test:
    """Do an exact McNemar test (McNemar 1947): is the second of two classifiers right more often?

    If there is no difference, an image that only one gets right is as likely to be the first's as the second's. So the
    test is a binomial one. The interval holds the differences that Tango's score test (1998, equation 9) does not
    reject.

    Args:
        first_right: Flags of the images that the first classifier gets right [n].
        second_right: The same for the second, on the same images [n].
    """
    from scipy.stats import binomtest

    only_second = int((second_right & ~first_right).sum())
    only_first = int((first_right & ~second_right).sum())
    n, apart = len(first_right), only_first + only_second
    p = float(binomtest(only_second, apart).pvalue) if apart else 1.0
    interval = _tango(only_second, only_first, n)
    return Test((only_second - only_first) / n, interval, 1 - LEVEL, "exact McNemar test", p, n)


def _tango(more: int, less: int, n: int) -> tuple[float, float]:
    """Return Tango's interval for a difference of paired shares: `more` of n pairs are in favour, `less` against."""
    from scipy.optimize import brentq

    def score(difference: float) -> float:
        b = (2 * n - more + less) * difference - more - less
        root = math.sqrt(b * b + 8 * n * less * difference * (1 - difference))
        variance = n * ((root - b) / (2 * n) + difference * (1 - difference))  # at the likeliest share against it
        return (more - less - n * difference) / math.sqrt(max(variance, 1e-12))

    z, estimate = NormalDist().inv_cdf(1 - LEVEL / 2), (more - less) / n
    low = brentq(lambda value: score(value) - z, -1, estimate) if estimate > -1 else -1
    high = brentq(lambda value: score(value) + z, estimate, 1) if estimate < 1 else 1
    return float(low), float(high)
