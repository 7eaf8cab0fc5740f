"""Settings of a search: the section `hydra.sweeper` of a configuration with the sweeper `optuna`."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from accord.errors import UserError
from accord.settings import Section, validated

TARGET = "accord.sweep.search.sweeper.OptunaSweeper"
_NEEDED = {"cmaes": ("cmaes",), "gp": ("scipy", "torch"), "qmc": ("scipy",)}  # packages, by sampler

Count = Annotated[int, Field(ge=1)]


def _number_or_auto(value: Any) -> Any:
    if isinstance(value, str) and value != "auto":
        raise PydanticCustomError("workers", "it must be a number, or auto")
    return None if value == "auto" else value


class SearchSettings(Section):
    """Settings of a search: the number of its trials, its sampler, its pruner and its spaces."""

    n_trials: Count = 20
    timeout: Annotated[float, Field(gt=0)] | None = None  # seconds after which no other trial starts
    direction: Literal["maximize"] = "maximize"  # a higher value of the project's metric is better
    sampler: Literal["tpe", "random", "cmaes", "qmc", "grid", "gp"] = "tpe"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    n_startup_trials: Annotated[int, Field(ge=0)] = 10  # random trials before tpe and gp learn
    pruner: Literal["median", "percentile", "hyperband", "none"] = "median"
    percentile: Annotated[float, Field(gt=0, lt=100)] = 25.0  # of trials that the pruner `percentile` keeps
    n_warmup_epochs: Annotated[int, Field(ge=0)] = 1  # first epochs of a trial, in which it is not pruned
    workers: Annotated[Count | None, BeforeValidator(_number_or_auto)] = None  # parallel trials; None is `auto`
    params: dict[str, Any] | None = None  # spaces by key, which the command line can replace


def is_search(config: DictConfig) -> bool:
    """Return whether a composed configuration is that of a search."""
    return bool(config.hydra.sweeper.get("_target_") == TARGET)


def spaces_in_file(params: Mapping[str, Any] | None) -> list[str]:
    """Return the spaces below `hydra.sweeper.params` as overrides."""
    return [f"{key}={value}" for key, value in (params or {}).items()]


def defaults() -> dict[str, Any]:
    """Return the default values of the option `optuna` in Hydra's group `hydra/sweeper`."""
    return {"_target_": TARGET, **SearchSettings().model_dump(), "workers": "auto"}


def settings_of(config: DictConfig) -> SearchSettings:
    """Return the settings of a search.

    Raises:
        UserError: A setting is impossible, or needs a package that is not installed.
    """
    given: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
    del given["_target_"]
    settings = validated(SearchSettings, given, "conf", "hydra.sweeper")
    for package in ("optuna", *_NEEDED.get(settings.sampler, ())):
        if find_spec(package) is None:
            what = "it" if package == "torch" else "accord[search]"
            raise UserError(f"hydra.sweeper.sampler = {settings.sampler} needs the package {package}: install {what}")
    return settings
