"""Spaces from which a search chooses values, parsed from Hydra's overrides."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, Quote, QuotedString
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from accord.errors import UserError

Category = int | float | str
_MOST_VALUES = 100_000  # limit for the values of a range
_BARE = r"(?!(?i:true|false|null|nan|inf)$)[A-Za-z_][A-Za-z0-9_./-]*"  # texts that need no quotes in an override


@dataclass(frozen=True)
class Spaces:
    """Spaces of the searched keys, and the overrides that all trials share."""

    distributions: Mapping[str, BaseDistribution]  # Optuna's distributions, by key
    constant: Sequence[str]  # overrides that all trials share
    _texts: Mapping[str, Mapping[Category, str]]  # text of each category in an override, by key
    _ranges: Mapping[str, Sequence[float]]  # Hydra's values of each range; Optuna's differ in the last digits

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """Return the overrides of a trial, given its values by searched key."""
        return [*self.constant, *(f"{key}={self._text(key, value)}" for key, value in values.items())]

    def _text(self, key: str, value: Any) -> str:
        if key in self._texts:
            return self._texts[key][value]
        return repr(min(self._ranges.get(key, [value]), key=lambda one: abs(one - value)))

    def ends(self) -> dict[str, list[Any]]:
        """Return the lowest and the highest value of each key, or all of its categories."""
        return {key: _ends(distribution) for key, distribution in self.distributions.items()}

    def grid(self) -> dict[str, list[Any]]:
        """Return all values of each key.

        Raises:
            UserError: A key has an interval, which is not a finite set of values.
        """
        return {key: _all_values(key, distribution) for key, distribution in self.distributions.items()}


def parse(overrides: Iterable[str]) -> Spaces:
    """Return the spaces that overrides describe.

    `choice(...)` and `a,b` are categories. `interval(...)` and `range(...)` are numbers, and `tag(log, interval(...))`
    are numbers whose logarithm is uniform.

    Args:
        overrides: Overrides as typed; a later one replaces an earlier one of the same key.

    Raises:
        UserError: A space is empty or can't be searched, or there is none.
    """
    hydra = GlobalHydra.instance().hydra
    parser = OverridesParser.create(hydra.config_loader if hydra else None)  # the loader resolves a `glob`
    newest = {one.get_key_element().lstrip("+"): one for one in parser.parse_overrides(list(overrides))}
    searched = {one.get_key_element(): one for one in newest.values() if one.is_sweep_override()}
    if not searched:
        raise UserError("a search needs a space, such as 'train.learning_rate=tag(log, interval(1e-4, 1e-2))'")
    texts = {key: _categories(one) for key, one in searched.items() if one.is_choice_sweep()}
    ranges = {key: _range(one) for key, one in searched.items() if one.is_range_sweep()}
    distributions: dict[str, BaseDistribution] = {}
    for key, one in searched.items():
        if key in texts:
            distributions[key] = CategoricalDistribution(list(texts[key]))
        else:
            distributions[key] = _stepped(ranges[key]) if key in ranges else _interval(one)
    constant = [str(one.input_line) for one in newest.values() if not one.is_sweep_override()]
    return Spaces(distributions, constant, texts, ranges)


def _categories(override: Override) -> dict[Category, str]:
    """Return the categories of a choice, as finite numbers or texts, each with its text in an override."""
    _check_tags(override, set())
    if isinstance(choice := override.value(), ChoiceSweep):
        choice.shuffle = False  # the order changes no result, but must be the same in a resumed study
    values: list[Any] = [one.text if isinstance(one, QuotedString) else one for one in override.sweep_iterator()]
    texts = list(map(_quoted, values, override.sweep_string_iterator()))
    plain = (isinstance(one, str) or (isinstance(one, int | float) and math.isfinite(one)) for one in values)
    found = {value if is_plain else text: text for value, text, is_plain in zip(values, texts, plain, strict=True)}
    if not found:
        raise UserError(f"{override.input_line}: the choice is empty")
    return found if len(found) == len(set(texts)) else {text: text for text in texts}  # 1 and true are the same key


def _quoted(value: Any, text: str) -> str:
    """Return the text of a category in an override: Hydra's own text lacks the quotes that it had in `choice`."""
    if isinstance(value, str) and not re.fullmatch(_BARE, value):
        return QuotedString(value, Quote.single).with_quotes()
    return text


def _range(override: Override) -> list[Any]:
    """Return the values of a range in ascending order."""
    _check_tags(override, set())
    given: Any = override.value()
    if not given.step or not all(map(math.isfinite, (given.start, given.stop, given.step))):
        raise UserError(f"{override.input_line}: a range needs finite numbers, and a step other than 0")
    if (given.stop - given.start) / given.step > _MOST_VALUES:
        raise UserError(f"{override.input_line}: the range has more than {_MOST_VALUES:,} values: give an interval")
    values: list[Any] = sorted(override.sweep_iterator())
    if not values:
        raise UserError(f"{override.input_line}: the range is empty")
    return values


def _stepped(values: Sequence[Any]) -> BaseDistribution:
    """Return the distribution of evenly spaced, ascending values."""
    low, high, count = values[0], values[-1], len(values)
    if isinstance(low, int):
        return IntDistribution(low, high, step=values[1] - low if count > 1 else 1)
    if count == 1:
        return FloatDistribution(low, high, step=1)
    # Optuna drops the last value unless the step divides the range in decimals, so round to 15 significant digits.
    decimals = 14 - math.floor(math.log10(max(abs(low), abs(high))))
    low, step = round(low, decimals), round((high - low) / (count - 1), decimals)
    return FloatDistribution(low, round(low + (count - 1) * step, decimals), step=step)


def _interval(override: Override) -> BaseDistribution:
    """Return the distribution of an interval."""
    _check_tags(override, {"log"})
    given: Any = override.value()
    low, high, is_log = given.start, given.end, "log" in _tags(override)
    if low > high or not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"{override.input_line}: the first number must be the lower one, and both finite")
    if is_log and low <= 0:
        raise UserError(f"{override.input_line}: a logarithm needs numbers above 0")
    return (IntDistribution if isinstance(low, int) else FloatDistribution)(low, high, log=is_log)


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
            f"{key}: hydra.sweeper.sampler = grid needs a choice or range; an interval has infinitely many values"
        )
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    return [distribution.low + k * distribution.step for k in range(count)]
