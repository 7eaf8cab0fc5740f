import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqmnist.measure.statistics import can_show, mcnemar, one_difference, sign_flip

# Of accuracies on 10,000 images: whole numbers of images, so that ties are ties.
IMAGES = st.lists(st.integers(-200, 200), min_size=2, max_size=8)


def test_six_differences_of_one_sign_have_the_smallest_p_there_is() -> None:
    result = sign_flip([0.01, 0.02, 0.03, 0.01, 0.02, 0.04])
    assert result.p == 2 / 64
    assert result.effect == pytest.approx(0.13 / 6)
    assert result.interval == pytest.approx((0.01, 0.04))
    assert result.confidence == pytest.approx(1 - 2 / 64)
    assert result.verdict == "shown"


def test_signs_by_hand() -> None:
    # Means of (1, 2, -1) under all signs: 8 ways; |sum| is at least the 2 seen in +++ (2), +-- ... counted by hand: 6.
    result = sign_flip([1.0, 2.0, -1.0])
    sums = [abs(a + 2 * b - c) for a, b, c in product((1, -1), repeat=3)]
    assert result.p == sum(total >= 2 for total in sums) / 8 == 6 / 8
    assert result.verdict == "not shown"


def test_the_other_way_round_is_the_opposite() -> None:
    assert sign_flip([-0.01, -0.02, -0.03, -0.01, -0.02, -0.04]).verdict == "opposite shown"


def test_fewer_than_six_seeds_can_show_nothing() -> None:
    assert sign_flip([0.5] * 5).verdict == "not shown"
    assert sign_flip([0.5] * 5).p == 2 / 32


def accuracies(images: list[int]) -> list[float]:
    """Differences as the stage has them: of two accuracies, with their roundings."""
    return [(9_800 + count) / 10_000 - 9_800 / 10_000 for count in images]


@given(images=IMAGES)
def test_p_is_exact_also_where_means_tie(images: list[int]) -> None:
    totals = [abs(sum(sign * one for sign, one in zip(signs, images, strict=True))) for signs in flips(len(images))]
    assert sign_flip(accuracies(images)).p == sum(total >= abs(sum(images)) for total in totals) / len(totals)


def flips(n: int) -> list[tuple[int, ...]]:
    return list(product((1, -1), repeat=n))


def test_p_is_that_of_scipys_permutation_test() -> None:
    from scipy.stats import permutation_test

    differences = [0.31, -0.12, 0.52, 0.17, 0.29, -0.06, 0.41]
    expected = permutation_test(
        (differences,),
        lambda values, axis=-1: np.mean(values, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert sign_flip(differences).p == pytest.approx(expected.pvalue)


def test_twenty_seeds_are_tested_in_full() -> None:
    assert sign_flip([0.01] * 20).p == 2 / 2**20


@pytest.mark.parametrize(("pairs", "possible"), [(1, False), (5, False), (6, True), (20, True)])
def test_from_six_pairs_on_something_can_be_shown(pairs: int, possible: bool) -> None:
    assert can_show(pairs) is possible


@given(images=IMAGES)
def test_the_interval_holds_the_effect_and_turns_with_the_sign(images: list[int]) -> None:
    differences = accuracies(images)
    result, turned = sign_flip(differences), sign_flip([-one for one in differences])
    low, high = result.interval
    assert low - 1e-12 <= result.effect <= high + 1e-12
    assert turned.interval == pytest.approx((-high, -low))
    assert turned.p == result.p


def test_hartigans_interval_of_eight_by_hand() -> None:
    # 256 intervals of equal probability, 2.5 % of which are 6 on each side: the sixth smallest and largest subset mean.
    differences = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    means = sorted(
        sum(chosen) / len(chosen)
        for mask in range(1, 256)
        if (chosen := [one for k, one in enumerate(differences) if mask >> k & 1])
    )
    result = sign_flip(differences)
    assert result.interval == pytest.approx((means[5], means[-6]))
    assert result.confidence == pytest.approx(1 - 12 / 256)


def test_mcnemar_by_hand() -> None:
    # Of 20 images the first alone gets 1 right, the second alone 7: p = 2 (C(8,0) + C(8,1)) / 2^8.
    first = np.array([True] * 10 + [True] + [False] * 7 + [False] * 2)
    second = np.array([True] * 10 + [False] + [True] * 7 + [False] * 2)
    result = mcnemar(first, second)
    assert result.p == pytest.approx(2 * (1 + 8) / 256)
    assert result.effect == pytest.approx(6 / 20)
    assert result.n == 20
    assert result.verdict == "not shown"
    low, high = result.interval
    assert low < 6 / 20 < high
    assert mcnemar(second, first).interval == pytest.approx((-high, -low))


def test_mcnemar_of_equal_answers_shows_nothing() -> None:
    same = np.array([True, False])
    assert (mcnemar(same, same).p, mcnemar(same, same).verdict) == (1.0, "not shown")
    low, high = mcnemar(same, same).interval
    assert -low == pytest.approx(high)
    assert high > 0.5, "of two images nothing is known"


@given(first=st.lists(st.booleans(), min_size=1, max_size=40), seed=st.integers(0, 99))
def test_mcnemar_interval_and_p_agree(first: list[bool], seed: int) -> None:
    one = np.array(first)
    other = np.random.default_rng(seed).random(len(one)) < 0.5
    result = mcnemar(one, other)
    assert result.p is not None
    assert 0 <= result.p <= 1
    assert math.isclose(result.effect, other.mean() - one.mean(), abs_tol=1e-12)
    assert result.interval[0] <= result.effect <= result.interval[1]


@pytest.mark.parametrize(("only_first", "only_second"), [(0.004, 0.0156), (0.0005, 0.0195), (0.0, 0.01), (0.01, 0.01)])
def test_mcnemars_interval_holds_the_true_difference_nineteen_times_in_twenty(
    only_first: float, only_second: float
) -> None:
    random, n, times, held = np.random.default_rng(5), 1_000, 1_000, 0
    for first, second, _ in random.multinomial(n, [only_first, only_second, 1 - only_first - only_second], times):
        one = np.arange(n) < first
        other = (np.arange(n) >= first) & (np.arange(n) < first + second)
        low, high = mcnemar(one, other).interval
        held += low <= only_second - only_first <= high
    assert 0.93 <= held / times <= 0.99


def test_one_seed_is_not_tested() -> None:
    assert one_difference(0.5).verdict == "one seed: not tested"
    assert one_difference(0.5).p is None
