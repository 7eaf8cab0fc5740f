import math
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from accord.errors import UserError
from accord.sweep.search.spaces import parse

KEY = "train.rate"
RANDOM = st.randoms(use_true_random=False)


def space(text: str) -> BaseDistribution:
    """Return the distribution of one space."""
    return parse([f"{KEY}={text}"]).distributions[KEY]


def read(override: str) -> Any:
    """Return the value that Hydra reads from an override."""
    return OverridesParser.create().parse_override(override).value()


def hydras(text: str) -> list[Any]:
    """Return the values that Hydra's own sweeper would run, in order."""
    return list(OverridesParser.create().parse_override(f"{KEY}={text}").sweep_iterator())


def given_values(text: str) -> list[Any]:
    """Return every value that trials can get from a space without an interval."""
    spaces = parse([f"{KEY}={text}"])
    return [read(override) for value in spaces.grid()[KEY] for override in spaces.overrides({KEY: value})]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval(0.5, 2)", FloatDistribution(0.5, 2.0)),
        ("interval(-3, 2)", FloatDistribution(-3.0, 2.0)),
        ("interval(1, 1)", FloatDistribution(1.0, 1.0)),
        ("float(interval(1, 5))", FloatDistribution(1.0, 5.0)),
        ("int(interval(1, 5))", IntDistribution(1, 5)),
        ("int(interval(1.2, 5.7))", IntDistribution(1, 5)),
        ("tag(log, interval(1e-4, 1))", FloatDistribution(1e-4, 1.0, log=True)),
        ("tag(log, int(interval(1, 64)))", IntDistribution(1, 64, log=True)),
        ("int(tag(log, interval(1, 64)))", IntDistribution(1, 64, log=True)),
        ("range(3)", IntDistribution(0, 2)),
        ("range(1)", IntDistribution(0, 0)),
        ("range(2, 9, 3)", IntDistribution(2, 8, step=3)),
        ("range(5, 0, -2)", IntDistribution(1, 5, step=2)),
        ("shuffle(range(1, 5))", IntDistribution(1, 4)),
        ("range(1, 3, 0.5)", FloatDistribution(1.0, 2.5, step=0.5)),
        ("range(0.3, 1, 0.1)", FloatDistribution(0.3, 0.9, step=0.1)),
        ("range(-1.0, -0.05, 0.3)", FloatDistribution(-1.0, -0.1, step=0.3)),
        ("range(1.5, 0, -0.5)", FloatDistribution(0.5, 1.5, step=0.5)),
        ("range(0.0, 1, 2)", FloatDistribution(0.0, 0.0, step=1)),
        ("int(range(0.0, 3))", IntDistribution(0, 2)),
        ("float(range(0, 3))", FloatDistribution(0.0, 2.0, step=1.0)),
        ("choice(4, 8)", CategoricalDistribution([4, 8])),
        ("4,8", CategoricalDistribution([4, 8])),
        ("choice(lstm)", CategoricalDistribution(["lstm"])),
        ("choice(a, a)", CategoricalDistribution(["a"])),
        ("sort(choice(3, 1, 2))", CategoricalDistribution([1, 2, 3])),
        ("int(choice(1.5, 2.7))", CategoricalDistribution([1, 2])),
        ("str(choice(1, 2))", CategoricalDistribution(["1", "2"])),
        ("'a b',c", CategoricalDistribution(["a b", "c"])),
    ],
)
def test_hydras_syntax_becomes_optunas_distribution(text: str, expected: BaseDistribution) -> None:
    assert space(text) == expected


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("choice(4, 8, 0.5, -1e-05)", [4, 8, 0.5, -1e-05]),
        ("choice(lstm, gru)", ["lstm", "gru"]),
        ("lstm,gru", ["lstm", "gru"]),
        ("choice(true, false)", [True, False]),
        ("choice('a b', \"c, d\", 'it\\'s', '5', '${x}', '=')", ["a b", "c, d", "it's", "5", "${x}", "="]),
        ("[1, 2],[a, 'b c']", [[1, 2], ["a", "b c"]]),
        ("choice({x: 1}, {x: 2, y: [a]})", [{"x": 1}, {"x": 2, "y": ["a"]}]),
        ("null,1", [None, 1]),
        ("auto,1.5", ["auto", 1.5]),
        ("choice(1, true)", [1, True]),
        ("choice(0, false, 0.0)", [0, False, 0.0]),
        ("choice(inf, 1)", [math.inf, 1]),
    ],
)
def test_every_category_comes_back_as_it_was_given(text: str, values: list[Any]) -> None:
    found = given_values(text)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_categories_that_are_shuffled_keep_their_values_and_the_order_that_was_given() -> None:
    for _ in range(20):
        assert given_values("shuffle(choice(1, 2, 3, 4, 5))") == [1, 2, 3, 4, 5]
        assert given_values("shuffle(a, b, c, d)") == ["a", "b", "c", "d"]


DECIMALS = st.decimals(-1000, 1000, places=3).map(float)


@settings(max_examples=40)
@given(start=DECIMALS, step=st.decimals("0.001", 50, places=3).map(float), count=st.integers(1, 20), down=st.booleans())
def test_a_range_of_floats_has_exactly_hydras_values(start: float, step: float, count: int, down: bool) -> None:
    text = f"range({start!r}, {start + step * count * (-1) ** down!r}, {step * (-1) ** down!r})"
    assert given_values(text) == sorted(hydras(text))


@settings(max_examples=40)
@given(start=st.floats(-1e6, 1e6), step=st.floats(1e-3, 1e3), count=st.integers(1, 20))
def test_a_range_of_any_digits_has_exactly_hydras_values(start: float, step: float, count: int) -> None:
    text = f"range({start!r}, {start + step * count!r}, {step!r})"
    assert given_values(text) == sorted(hydras(text))


@settings(max_examples=40)
@given(start=st.integers(-100, 100), stop=st.integers(-100, 100), step=st.integers(-9, 9).filter(bool))
def test_a_range_of_integers_has_exactly_hydras_values(start: int, stop: int, step: int) -> None:
    text = f"range({start}, {stop}, {step})"
    if hydras(text):
        values = given_values(text)
        assert values == sorted(hydras(text))
        assert all(type(value) is int for value in values)


@given(low=st.floats(-1e300, 1e300), share=st.floats(0, 1), width=st.floats(0, 1e300))
def test_every_float_of_an_interval_comes_back_with_all_its_bits(low: float, share: float, width: float) -> None:
    spaces = parse([f"{KEY}=interval({low!r}, {low + width!r})"])
    distribution = spaces.distributions[KEY]
    assert isinstance(distribution, FloatDistribution)
    assert (distribution.low, distribution.high) == (low, low + width)
    value = min(low + width * share, low + width)
    (override,) = spaces.overrides({KEY: value})
    assert read(override) == value


@given(value=st.floats(min_value=1e-300, max_value=1e300))
def test_every_float_of_a_logarithmic_interval_comes_back_with_all_its_bits(value: float) -> None:
    spaces = parse([f"{KEY}=tag(log, interval(1e-300, 1e300))"])
    (override,) = spaces.overrides({KEY: value})
    assert read(override) == value


@given(value=st.integers(-(2**53), 2**53))
def test_every_integer_comes_back(value: int) -> None:
    (override,) = parse([f"{KEY}=int(interval(-1, 1))"]).overrides({KEY: value})
    found = read(override)
    assert (found, type(found)) == (value, int)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=8)


@example(texts=["İ", "a/b", "True", "nan", "1e5", "", "a\\"])
@given(texts=st.lists(TEXTS, min_size=1, max_size=4, unique=True))
def test_every_quoted_text_comes_back(texts: list[str]) -> None:
    def quoted(text: str) -> str:
        *parts, end = text.split("'")
        escaped = [part + "\\" * (len(part) - len(part.rstrip("\\"))) for part in [*parts, end]]
        return "'" + "\\'".join(escaped) + "'"

    assert given_values(f"choice({', '.join(map(quoted, texts))})") == texts


@given(values=st.lists(st.floats(allow_nan=False) | st.integers() | st.booleans(), min_size=1, max_size=5))
def test_every_number_of_a_choice_comes_back(values: list[Any]) -> None:
    text = ", ".join(str(value).lower() for value in values)
    found = given_values(f"choice({text})")
    wanted = list(dict.fromkeys((repr(value), type(value)) for value in values))
    assert [(repr(value), type(value)) for value in found] == wanted


def test_overrides_of_a_trial_are_those_of_all_trials_and_its_own() -> None:
    spaces = parse(["cell=lstm", f"{KEY}=interval(0, 1)", "note='a b'", "+train.units=4,8"])
    assert spaces.overrides({KEY: 0.25, "+train.units": 8}) == [
        "cell=lstm",
        "note='a b'",
        f"{KEY}=0.25",
        "+train.units=8",
    ]
    assert list(spaces.distributions) == [KEY, "+train.units"]
    assert spaces.ends() == {KEY: [0.0, 1.0], "+train.units": [4, 8]}


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_a_later_override_replaces_the_space_or_the_value_of_an_earlier_one(plus: str) -> None:
    other = "train.units=4,8"
    fixed = parse([f"{KEY}=interval(0, 1)", other, f"{plus}{KEY}=0.5"])
    assert list(fixed.distributions) == ["train.units"]
    assert fixed.constant == [f"{plus}{KEY}=0.5"]
    searched = parse([f"{KEY}=0.5", other, f"{plus}{KEY}=interval(2, 3)"])
    assert searched.distributions[f"{plus}{KEY}"] == FloatDistribution(2.0, 3.0)
    assert searched.constant == []
    narrower = parse([f"{KEY}=interval(0, 1)", f"{plus}{KEY}=choice(1, 2)"])
    assert narrower.distributions == {f"{plus}{KEY}": CategoricalDistribution([1, 2])}


def test_a_key_in_two_packages_is_two_keys() -> None:
    assert list(parse(["cell@first=a,b", "cell@second=a,b", "cell=a,b"]).distributions) == [
        "cell@first",
        "cell@second",
        "cell",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("range(3, 0)", "the range is empty"),
        ("range(1.0, 0.5)", "the range is empty"),
        ("range(0, 3, 0)", "a step other than 0"),
        ("range(0.5, 3, 0)", "a step other than 0"),
        ("range(0, inf)", "finite numbers"),
        ("range(0, nan)", "finite numbers"),
        ("range(-inf, 0)", "finite numbers"),
        ("range(0, 1, nan)", "finite numbers"),
        ("interval(2, 1)", "the first number must be the lower one"),
        ("interval(0, inf)", "both finite"),
        ("interval(-inf, 0)", "both finite"),
        ("interval(nan, 1)", "both finite"),
        ("interval(0, nan)", "both finite"),
        ("tag(log, interval(0, 1))", "a logarithm needs numbers above 0"),
        ("tag(log, interval(-1, 1))", "a logarithm needs numbers above 0"),
        ("tag(log, int(interval(0.5, 8)))", "a logarithm needs numbers above 0"),
        ("tag(ln, interval(1, 2))", "the tag ln has no effect here: log, of an interval, is the only one"),
        ("tag(log, ln, interval(1, 2))", "the tag ln has no effect"),
        ("tag(log, choice(1, 2))", "the tag log has no effect here: log, which an interval may have, is the only one"),
        ("tag(log, range(1, 5))", "the tag log has no effect"),
        ("range(0, 1000000000)", "more than 100,000 values: give an interval"),
        ("range(5, -1e9, -1)", "more than 100,000 values"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_in_a_line(text: str, reason: str) -> None:
    with pytest.raises(UserError) as caught:
        parse([f"{KEY}={text}"])
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{KEY}={text}: ")
    assert reason in line


@pytest.mark.parametrize("overrides", [[], [f"{KEY}=0.5"], [f"{KEY}=interval(0, 1)", f"{KEY}=0.5"], [f"~{KEY}"]])
def test_a_search_without_a_space_is_refused(overrides: list[str]) -> None:
    with pytest.raises(UserError, match=r"\Aa search needs a space, such as 'train\.learning_rate=tag\(log, .*'\Z"):
        parse(overrides)


def test_a_grid_has_all_values_and_an_interval_has_no_grid() -> None:
    spaces = parse(["a=range(0, 7, 3)", "b=range(0.0, 1, 0.5)", "c=x,y", "d=range(1)"])
    assert spaces.grid() == {"a": [0, 3, 6], "b": [0.0, 0.5], "c": ["x", "y"], "d": [0]}
    with pytest.raises(UserError, match=r"\Aa: hydra\.sweeper\.sampler = grid needs a choice or range; .*\Z"):
        parse(["a=interval(0, 1)"]).grid()


@given(random=RANDOM, low=st.integers(-50, 50), width=st.integers(0, 50), step=st.integers(1, 7))
def test_every_value_drawn_from_a_range_is_one_of_hydras(random: Any, low: int, width: int, step: int) -> None:
    spaces = parse([f"{KEY}=range({low}, {low + width + 1}, {step})", "b=range(0.1, 1.05, 0.1)"])
    drawn = {key: random.choice(values) for key, values in spaces.grid().items()}
    first, second = map(read, spaces.overrides(drawn))
    assert first in range(low, low + width + 1, step)
    assert second in hydras("range(0.1, 1.05, 0.1)")
