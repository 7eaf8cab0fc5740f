"""Spaces that a search chooses values from, as Hydra's overrides describe them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Transformer
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from accord.errors import UserError

Category = int | float | str


@dataclass(frozen=True)
class Spaces:
    """What is searched, and what all trials of the search share."""

    distributions: Mapping[str, BaseDistribution]  # by key
    constant: Sequence[str]  # overrides
    _texts: Mapping[str, Mapping[Category, str]]  # each category of a key as an override has it

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """Return the overrides of the trial with these values of the searched keys."""
        own = [
            f"{key}={self._texts[key][value] if key in self._texts else repr(value)}" for key, value in values.items()
        ]
        return [*self.constant, *own]

    def ends(self) -> dict[str, list[Any]]:
        """Return the lowest and the highest value of each key, or its categories."""
        return {key: _ends(distribution) for key, distribution in self.distributions.items()}

    def grid(self) -> dict[str, list[Any]]:
        """Return all values of each key; a key that has no end of them is a `UserError`."""
        return {key: _all_values(key, distribution) for key, distribution in self.distributions.items()}


def parse(overrides: Iterable[str]) -> Spaces:
    """Return the spaces of overrides, of which a later one of the same key replaces the earlier.

    `choice(...)` and `a,b` are categories, `interval(...)` and `range(...)` numbers, `tag(log, interval(...))` numbers
    whose logarithm is drawn evenly.

    Raises:
        UserError: A space is empty or can't be searched, or there is none.
    """
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())  # which knows what a `glob` may be
    newest = {one.get_key_element(): one for one in parser.parse_overrides(list(overrides))}
    searched = {key: one for key, one in newest.items() if one.is_sweep_override()}
    for one in searched.values():
        if getattr(one.value(), "shuffle", False):
            raise UserError(f"{one.input_line}: shuffle has no effect in a search, which draws values by itself")
    if not searched:
        raise UserError("a search needs a space, such as 'train.learning_rate=tag(log, interval(1e-4, 1e-2))'")
    texts = {key: _categories(one) for key, one in searched.items() if one.is_choice_sweep()}
    distributions = {key: _numbers(one) for key, one in searched.items() if key not in texts}
    distributions |= {key: CategoricalDistribution(list(categories)) for key, categories in texts.items()}
    constant = [str(one.input_line) for key, one in newest.items() if key not in searched]
    return Spaces({key: distributions[key] for key in searched}, constant, texts)


def _categories(override: Override) -> dict[Category, str]:
    """Return the categories of a choice, numbers or else texts, and how each stands in an override."""
    _check_tags(override, set())
    texts: Any = override.sweep_iterator(transformer=lambda value: (value, Transformer.str(value)))
    categories = {value if isinstance(value, int | float) else text: text for value, text in texts}
    if not categories:
        raise UserError(f"{override.input_line}: the choice is empty")
    return categories


def _numbers(override: Override) -> BaseDistribution:
    """Return the distribution of an interval or range."""
    if override.is_interval_sweep():
        _check_tags(override, {"log"})
        interval: Any = override.value()
        low, high, step = interval.start, interval.end, None
    elif override.is_range_sweep():
        _check_tags(override, set())
        values: list[Any] = sorted(override.sweep_iterator())
        if not values:
            raise UserError(f"{override.input_line}: the range is empty")
        low, high = values[0], values[-1]
        step = values[1] - low if len(values) > 1 else None
    else:
        raise UserError(f"{override.input_line}: a search takes interval, choice and range")
    is_log = "log" in _tags(override)
    if low > high or not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"{override.input_line}: the first number must be the lower one, and both finite")
    if is_log and low <= 0:
        raise UserError(f"{override.input_line}: a logarithm needs numbers above 0")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=is_log, step=int(step or 1))
    return FloatDistribution(float(low), float(high), log=is_log, step=step)


def _tags(override: Override) -> set[str]:
    return set(getattr(override.value(), "tags", ()))


def _check_tags(override: Override, known: set[str]) -> None:
    if unknown := _tags(override) - known:
        what = (
            "log, of an interval,"
            if isinstance(override.value(), IntervalSweep)
            else "log, which an interval may have,"
        )
        raise UserError(f"{override.input_line}: the tag {min(unknown)} has no effect here: {what} is the only one")


def _ends(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return [distribution.low, distribution.high]
    return list(distribution.choices)  # type: ignore[attr-defined]  # there is no third kind


def _all_values(key: str, distribution: BaseDistribution) -> list[Any]:
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return _ends(distribution)
    if distribution.step is None:
        raise UserError(
            f"{key}: hydra.sweeper.sampler = grid needs a choice or range, an interval has no end of values"
        )
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    return [distribution.low + k * distribution.step for k in range(count)]
