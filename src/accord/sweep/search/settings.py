"""Settings of a search, which are `hydra.sweeper` of a configuration with the sweeper `optuna`."""

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
    """Number of trials, how their values are chosen, and when a trial is given up."""

    n_trials: Count = 20
    timeout: Annotated[float, Field(gt=0)] | None = None  # seconds after which no further trial starts
    direction: Literal["maximize"] = "maximize"  # the project's metric is best at its highest
    sampler: Literal["tpe", "random", "cmaes", "qmc", "grid", "gp"] = "tpe"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    n_startup_trials: Annotated[int, Field(ge=0)] = 10  # drawn at random before tpe and gp learn
    pruner: Literal["median", "percentile", "hyperband", "none"] = "median"
    percentile: Annotated[float, Field(gt=0, lt=100)] = 25.0  # of trials that the pruner of this name keeps
    n_warmup_epochs: Annotated[int, Field(ge=0)] = 1  # of each trial, in which it is not pruned
    workers: Annotated[Count | None, BeforeValidator(_number_or_auto)] = None  # trials at a time; None is `auto`
    params: dict[str, Any] | None = None  # spaces by key, which the command line may replace


def is_search(config: DictConfig) -> bool:
    """Return whether a composed configuration is that of a search."""
    return bool(config.hydra.sweeper.get("_target_") == TARGET)


def spaces_in_file(params: Mapping[str, Any] | None) -> list[str]:
    """Return the spaces below `hydra.sweeper.params` as overrides."""
    return [f"{key}={value}" for key, value in (params or {}).items()]


def defaults() -> dict[str, Any]:
    """Return the values of the option `optuna` of Hydra's group of sweepers."""
    return {"_target_": TARGET, **SearchSettings().model_dump(), "workers": "auto"}


def settings_of(config: DictConfig) -> SearchSettings:
    """Return the settings of a search; impossible ones, and packages that they lack, are a `UserError`."""
    given: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
    del given["_target_"]
    settings = validated(SearchSettings, given, "conf", "hydra.sweeper")
    for package in ("optuna", *_NEEDED.get(settings.sampler, ())):
        if find_spec(package) is None:
            what = "it" if package == "torch" else "accord[search]"
            raise UserError(f"hydra.sweeper.sampler = {settings.sampler} needs the package {package}: install {what}")
    return settings
