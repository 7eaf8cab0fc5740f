from itertools import product
from pathlib import Path
from typing import Any

import pytest
from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner, PercentilePruner

from accord.errors import UserError
from accord.sweep.search import samplers
from accord.sweep.search.settings import SearchSettings
from accord.sweep.search.spaces import parse
from tests.accord.sweep.search.simulated import SPACES, comparable, go_on, search, smooth

GRID = ("train.rate=0.001,0.01,0.1", "train.units=range(8, 17, 8)")
SAMPLERS = ("tpe", "random", "cmaes", "qmc", "grid")


def spaces_of(sampler: str) -> tuple[str, ...]:
    return GRID if sampler == "grid" else SPACES


def params(folder: Path, count: int, **settings: Any) -> list[dict[str, Any]]:
    """Run trials one after another in a new folder and return their values."""
    folder.mkdir()
    found = search(folder, spaces_of(settings["sampler"]), n_trials=count, **settings)
    go_on(folder, found, smooth)
    return [trial.params for trial in found.trials]


@pytest.mark.parametrize("pruner", ["none", "hyperband"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_that_is_opened_for_each_trial_has_the_values_of_one_in_one_go(
    tmp_path: Path, sampler: str, pruner: str
) -> None:
    count, spaces = 6, spaces_of(sampler)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    whole = search(first, spaces, sampler=sampler, pruner=pruner, n_trials=count)
    go_on(first, whole, smooth)
    for n_trials in range(1, count + 1):
        go_on(second, search(second, spaces, sampler=sampler, pruner=pruner, n_trials=n_trials), smooth)
    assert comparable(search(second, spaces, sampler=sampler, pruner=pruner)) == comparable(whole)
    drawn = [tuple(trial.params.values()) for trial in whole.trials]
    assert len(set(drawn)) == count, "each number has its own"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_another_seed_gives_other_values(tmp_path: Path, sampler: str) -> None:
    one = params(tmp_path / "one", 3, sampler=sampler, seed=1)
    assert params(tmp_path / "same", 3, sampler=sampler, seed=1) == one
    assert params(tmp_path / "other", 3, sampler=sampler, seed=2) != one


def test_random_trials_depend_only_on_seed_and_number(tmp_path: Path) -> None:
    """Golden values: a search begun by an earlier version of Optuna or accord must resume with these."""
    expected = params(tmp_path / "alone", 3, sampler="random")
    folder = tmp_path / "at once"
    folder.mkdir()
    found = search(folder, sampler="random")
    numbers = [found.ask() for _ in range(3)]
    assert [found.trials[number].params for number in numbers] == expected
    rates = [one.pop("train.rate") for one in expected]
    assert rates == pytest.approx([0.0005771467430715901, 0.008384676848928336, 0.0005839673177981611], rel=1e-12)
    assert [tuple(one.values()) for one in expected] == [(40, "lstm"), (16, "gru"), (8, "lstm")]


@pytest.mark.parametrize("n_trials", [4, 6, 20])
def test_a_grid_has_each_combination_once_in_an_order_by_its_seed(tmp_path: Path, n_trials: int) -> None:
    drawn = [tuple(one.values()) for one in params(tmp_path / "one", n_trials, sampler="grid")]
    assert len(drawn) == len(set(drawn)) == min(n_trials, 6)
    assert set(drawn) <= set(product((0.001, 0.01, 0.1), (8, 16)))
    assert drawn != sorted(drawn)


def test_a_grid_that_is_asked_for_by_many_workers_has_each_combination_once(tmp_path: Path) -> None:
    found = search(tmp_path, GRID, sampler="grid")
    assert found.n_trials == 6
    numbers = [found.ask() for _ in range(found.n_trials)]
    assert len({tuple(found.trials[number].params.values()) for number in numbers}) == 6


@pytest.mark.parametrize(
    "spaces",
    [
        ["train.rate=interval(0, 1)"],
        ["train.rate=interval(0, 1)", "cell=lstm,gru"],
        ["train.rate=interval(0, 1)", "train.units=8,16"],
        ["train.rate=interval(0, 1)", "train.units=range(1)"],
        ["train.rate=interval(0, 1)", "train.units=interval(2, 2)"],
    ],
)
def test_cmaes_needs_two_spaces_of_numbers(spaces: list[str]) -> None:
    with pytest.raises(UserError, match=r"\Ahydra\.sweeper\.sampler = cmaes needs two or more spaces of numbers: .*\Z"):
        samplers.check(SearchSettings(sampler="cmaes"), parse(spaces))
    samplers.check(SearchSettings(sampler="tpe"), parse(spaces))
    samplers.check(SearchSettings(sampler="cmaes"), parse([*spaces, "a=interval(0, 1)", "b=range(3)"]))


def test_a_grid_needs_finite_spaces() -> None:
    spaces = parse(["a=1,2", "b=interval(0, 1)"])
    with pytest.raises(UserError, match=r"\Ab: hydra\.sweeper\.sampler = grid needs a choice or range"):
        samplers.check(SearchSettings(sampler="grid"), spaces)
    samplers.check(SearchSettings(sampler="random"), spaces)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("median", MedianPruner), ("percentile", PercentilePruner), ("hyperband", HyperbandPruner), ("none", NopPruner)],
)
def test_each_pruner_is_optunas_of_this_name(name: Any, kind: type) -> None:
    assert type(samplers.pruner(SearchSettings(pruner=name, n_warmup_epochs=0))) is kind
