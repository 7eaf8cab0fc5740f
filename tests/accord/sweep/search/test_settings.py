from importlib.util import find_spec
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from accord.errors import UserError
from accord.sweep.search import settings as module
from accord.sweep.search.settings import SearchSettings, defaults, is_search, settings_of

SAMPLERS = ("tpe", "random", "cmaes", "qmc", "grid", "gp")


def config(**values: Any) -> DictConfig:
    """Return the composed configuration of a search, with some values of the sweeper."""
    return OmegaConf.create({"hydra": {"sweeper": {**defaults(), **values}}})


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return a set to which tests add packages that then seem to be missing."""
    missing: set[str] = set()
    monkeypatch.setattr(module, "find_spec", lambda name: None if name in missing else object())
    return missing


def refusal(**values: Any) -> str:
    """Return the one line that refuses the settings."""
    with pytest.raises(UserError) as caught:
        settings_of(config(**values))
    (line,) = str(caught.value).splitlines()
    return line


@pytest.mark.usefixtures("packages")
def test_the_defaults_are_valid_and_keep_their_values() -> None:
    assert settings_of(config()) == SearchSettings()
    assert defaults() == {
        "_target_": "accord.sweep.search.sweeper.OptunaSweeper",
        "n_trials": 20,
        "timeout": None,
        "direction": "maximize",
        "sampler": "tpe",
        "seed": 42,
        "n_startup_trials": 10,
        "pruner": "median",
        "percentile": 25.0,
        "n_warmup_epochs": 1,
        "workers": "auto",
        "params": None,
    }


def test_a_configuration_with_optunas_sweeper_is_a_search() -> None:
    assert is_search(config())
    other = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
    assert not is_search(OmegaConf.create({"hydra": {"sweeper": {"_target_": other}}}))
    assert not is_search(OmegaConf.create({"hydra": {"sweeper": {}}}))


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("n_trials", 1, 1),
        ("timeout", 0.5, 0.5),
        ("timeout", 60, 60.0),
        ("seed", 0, 0),
        ("seed", 2**32 - 1, 2**32 - 1),
        ("n_startup_trials", 0, 0),
        ("n_warmup_epochs", 0, 0),
        ("percentile", 99.9, 99.9),
        ("percentile", 10, 10.0),
        ("workers", 3, 3),
        ("workers", "auto", None),
        ("workers", None, None),
        ("params", {"train.rate": "interval(0, 1)"}, {"train.rate": "interval(0, 1)"}),
        *(("sampler", name, name) for name in SAMPLERS),
        *(("pruner", name, name) for name in ("median", "percentile", "hyperband", "none")),
    ],
)
def test_valid_values_are_accepted(key: str, value: Any, expected: Any) -> None:
    assert getattr(settings_of(config(**{key: value})), key) == expected


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n_trials", 0),
        ("n_trials", -1),
        ("n_trials", 2.5),
        ("n_trials", "ten"),
        ("n_trials", True),
        ("n_trials", None),
        ("timeout", 0),
        ("timeout", -1.5),
        ("timeout", float("inf")),
        ("timeout", float("nan")),
        ("timeout", "1h"),
        ("direction", None),
        ("sampler", "nsga"),
        ("sampler", None),
        ("seed", -1),
        ("seed", 2**32),
        ("seed", None),
        ("n_startup_trials", -1),
        ("pruner", "patient"),
        ("pruner", None),
        ("percentile", 0),
        ("percentile", 100.0),
        ("percentile", float("nan")),
        ("n_warmup_epochs", -1),
        ("n_warmup_epochs", 0.5),
        ("workers", 0),
        ("workers", "all"),
        ("workers", 1.5),
        ("params", ["a=1,2"]),
        ("params", "a=1,2"),
    ],
)
def test_an_impossible_value_is_refused_in_a_line_that_names_it(key: str, value: Any) -> None:
    assert refusal(**{key: value}).startswith(f"conf: hydra.sweeper.{key} = {value!r} is impossible: ")


@pytest.mark.usefixtures("packages")
def test_only_the_highest_metric_can_be_searched_for() -> None:
    line = "conf: hydra.sweeper.direction = 'minimize' is impossible: input should be 'maximize'"
    assert refusal(direction="minimize") == line


@pytest.mark.usefixtures("packages")
def test_an_unknown_key_is_refused_with_the_known_ones() -> None:
    line = refusal(n_jobs=2)
    assert line.startswith("conf: hydra.sweeper.n_jobs: unknown key; the keys here are n_trials, timeout, ")
    assert "_target_" not in line


@pytest.mark.parametrize(
    ("sampler", "package"),
    [
        *((name, "optuna") for name in SAMPLERS),
        ("cmaes", "cmaes"),
        ("qmc", "scipy"),
        ("gp", "scipy"),
        ("gp", "torch"),
    ],
)
def test_a_sampler_without_its_package_is_refused_in_a_line(packages: set[str], sampler: str, package: str) -> None:
    packages.add(package)
    what = "it" if package == "torch" else "accord[search]"
    message = f"hydra.sweeper.sampler = {sampler} needs the package {package}: install {what}"
    assert refusal(sampler=sampler) == message
    packages.clear()
    assert settings_of(config(sampler=sampler)).sampler == sampler


def test_packages_of_other_samplers_are_not_needed(packages: set[str]) -> None:
    packages |= {"cmaes", "scipy", "torch"}
    for sampler in ("tpe", "random", "grid"):
        assert settings_of(config(sampler=sampler)).sampler == sampler


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_installed_packages_are_found(sampler: str) -> None:
    needed = module._NEEDED.get(sampler, ())
    if all(map(find_spec, needed)):
        assert settings_of(config(sampler=sampler)).sampler == sampler
    else:
        assert "needs the package" in refusal(sampler=sampler)
