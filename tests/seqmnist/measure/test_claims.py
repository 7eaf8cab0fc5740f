import json
from typing import Any

import pytest

from seqmnist.measure.claims import as_json, claims, remark

TYPES = {"rnn": "rnn", "lstm": "lstm"}


def test_one_seed_tests_the_answers_and_nothing_else(make_measures: Any) -> None:
    tests = claims({"rnn": [make_measures(wrong=20)], "lstm": [make_measures(wrong=2, after=0.7)]}, TYPES)
    assert tests["better"].verdict == "shown"
    assert tests["better"].effect == pytest.approx(18 / 60)
    assert tests["better"].n == 60
    for name in ("converges_faster", "remembers_longer"):
        assert tests[name].verdict == "one seed: not tested"
    assert tests["remembers_longer"].effect == pytest.approx(0.2)


def test_six_seeds_test_all_three_with_the_pairs_by_seed(make_measures: Any) -> None:
    rnn = [make_measures(seed, wrong=10 + seed, after=0.5 + seed / 100) for seed in range(6)]
    lstm = [make_measures(seed, wrong=9 + seed, curve=(0.8, 0.9), after=0.6 + seed / 100) for seed in range(6)]
    tests = claims({"rnn": rnn, "lstm": lstm, "gru": rnn}, {**TYPES, "gru": "gru"})
    assert {name: test.verdict for name, test in tests.items()} == {
        "better": "shown",
        "converges_faster": "opposite shown",
        "remembers_longer": "shown",
    }
    assert tests["better"].p == 2 / 64
    assert tests["better"].effect == pytest.approx(1 / 60)


@pytest.mark.parametrize("cells", [["rnn"], ["lstm", "gru"], []])
def test_without_both_cells_there_is_no_claim(make_measures: Any, cells: list[str]) -> None:
    assert claims({cell: [make_measures()] for cell in cells}, {cell: cell for cell in cells}) == {}


def test_the_json_has_the_names_that_readers_rely_on(make_measures: Any) -> None:
    test = claims({"rnn": [make_measures()], "lstm": [make_measures()]}, TYPES)["converges_faster"]
    part = json.loads(json.dumps(as_json(test)))
    assert list(part) == ["verdict", "effect", "interval", "confidence", "test", "p", "n"]
    assert part["p"] is None
    assert len(part["interval"]) == 2


def test_a_cell_named_lstm_of_another_type_is_not_the_lstm(make_measures: Any) -> None:
    measured = {"rnn": [make_measures()], "lstm": [make_measures()]}
    assert claims(measured, {"rnn": "rnn", "lstm": "gru"}) == {}


def test_a_longer_recipe_gives_no_larger_area(make_measures: Any) -> None:
    rnn, lstm = make_measures(curve=(0.9, 0.96, 0.99, 0.99)), make_measures(curve=(0.9, 0.96))
    assert claims({"rnn": [rnn], "lstm": [lstm]}, TYPES)["converges_faster"].effect == 0


@pytest.mark.parametrize(
    ("p", "seeds", "said"),
    [
        (None, 1, "give 6 seeds or more to test it"),
        (1e-9, 1, "of these two models alone"),
        (0.25, 3, "3 seeds can show nothing"),
        (0.03, 6, ""),
    ],
)
def test_a_verdict_from_few_seeds_comes_with_a_remark(p: float | None, seeds: int, said: str) -> None:
    assert remark(p, seeds).startswith(said)
    assert bool(remark(p, seeds)) == bool(said)
