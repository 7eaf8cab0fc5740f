from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.settings import flatten
from seqmnist.measure.claims import claims
from seqmnist.measure.metrics import content, nest, numbers, over_seeds

KEYS = st.text(st.characters(exclude_characters=".", codec="utf-8"), max_size=4)
NESTED = st.recursive(
    st.floats(allow_nan=False), lambda children: st.dictionaries(KEYS, children, min_size=1, max_size=3), max_leaves=10
).filter(lambda value: isinstance(value, dict))


@given(NESTED)
def test_nesting_is_the_inverse_of_flattening(nested: dict[str, Any]) -> None:
    assert nest(flatten(nested)) == nested


def test_dotted_names_become_nested_keys() -> None:
    flat = {"selected.epoch": 3, "selected.test.loss": 0.5, "selected.test.accuracy": 0.75, "seed": 1}

    nested = nest(flat)

    assert nested == {"selected": {"epoch": 3, "test": {"loss": 0.5, "accuracy": 0.75}}, "seed": 1}
    assert list(flatten(nested)) == list(flat)


def test_figures_of_several_seeds_have_mean_and_sample_deviation_key_by_key() -> None:
    seeds: list[dict[str, float]] = [
        {"epoch": 3, "test.accuracy": 0.5},
        {"epoch": 6, "test.accuracy": 0.75},
        {"epoch": 9, "test.accuracy": 1},
    ]

    mean, std = over_seeds(seeds)

    assert mean == {"epoch": 6, "test.accuracy": 0.75}
    assert std == {"epoch": 3, "test.accuracy": 0.25}
    assert over_seeds(seeds[:1]) == (seeds[0], {})


def test_a_threshold_that_one_seed_never_reached_has_no_mean() -> None:
    mean, std = over_seeds([{"a": 1, "epochs_to_98": 3}, {"a": 3}])

    assert mean == {"a": 2}
    assert std == {"a": pytest.approx(2**0.5)}


def test_metrics_hold_means_deviations_every_seed_and_the_claims(make_measures: Any) -> None:
    measured = {
        "rnn": [make_measures(42, wrong=6, curve=(0.9, 0.96)), make_measures(43, wrong=12, curve=(0.95, 0.94))],
        "lstm": [make_measures(42, wrong=3, curve=(0.97, 0.98)), make_measures(43, wrong=3, curve=(0.97, 0.98))],
    }

    metrics = content(measured, claims(measured, {"rnn": "rnn", "lstm": "lstm"}), examples=1000)

    assert list(metrics) == ["rnn", "lstm", "claims"]
    rnn = metrics["rnn"]
    assert list(rnn["seeds"]) == ["42", "43"]
    assert [one["selected"]["test"]["accuracy"] for one in rnn["seeds"].values()] == [0.9, 0.8]
    assert rnn["selected"]["test"]["accuracy"] == pytest.approx(0.85)
    assert rnn["std"]["selected"]["test"]["accuracy"] == pytest.approx(0.1 / 2**0.5)
    assert [one["convergence"]["epochs_to_95"] for one in rnn["seeds"].values()] == [2, 1]
    assert rnn["convergence"]["examples_to_95"] == 1500
    assert "epochs_to_97" not in rnn["convergence"]
    assert metrics["lstm"]["convergence"]["epochs_to_98"] == 2
    assert set(metrics["claims"]) == {"better", "converges_faster", "remembers_longer"}


def test_mlflow_gets_numbers_and_bounds_but_no_single_seeds(make_measures: Any) -> None:
    measured = {"rnn": [make_measures(wrong=6)], "lstm": [make_measures(wrong=3)]}
    metrics = content(measured, claims(measured, {"rnn": "rnn", "lstm": "lstm"}), examples=1000)

    logged = numbers(metrics)

    assert all(isinstance(value, int | float) for value in logged.values())
    assert logged["rnn.selected.test.accuracy"] == 0.9
    assert logged["claims.better.effect"] == pytest.approx(0.05)
    low, high = metrics["claims"]["better"]["interval"]
    assert (logged["claims.better.low"], logged["claims.better.high"]) == (low, high)
    assert "claims.converges_faster.p" not in logged
    assert not [name for name in logged if "seeds" in name]
