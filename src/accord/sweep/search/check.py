"""Checks that a search can work, which run before anything is written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, OmegaConf

from accord.errors import UserError, one_line
from accord.project import find_project
from accord.sweep import cores
from accord.sweep.finished import composed
from accord.sweep.launchers import JOBLIB, RAY, is_of
from accord.sweep.names import as_typed, key_of
from accord.sweep.search import samplers, study
from accord.sweep.search.settings import SearchSettings, settings_of, spaces_in_file
from accord.sweep.search.spaces import Spaces, parse


def spaces_of(settings: SearchSettings, overrides: Sequence[str]) -> Spaces:
    """Return the spaces from conf/search, where those of the command line replace others of the same key."""
    return parse([*spaces_in_file(settings.params), *overrides])


def check(config: DictConfig) -> None:
    """Refuse a search that can't work.

    Raises:
        UserError: A setting or space is impossible or has no effect, or the folder has another search or sweep.
    """
    settings = settings_of(config)
    spaces = spaces_of(settings, as_typed(config.hydra.overrides.task))
    samplers.check(settings, spaces)
    _check_effects(settings, as_typed(config.hydra.overrides.hydra))
    _check_launcher(settings, config.hydra.launcher)
    study.check(Path(config.hydra.sweep.dir), settings, spaces)
    check_ends(config, spaces)


def _check_effects(settings: SearchSettings, overrides: Sequence[str]) -> None:
    """Refuse a setting of the command line that has no effect with the chosen sampler and pruner."""
    learns, counts = settings.sampler in {"tpe", "gp"}, settings.pruner in {"median", "percentile"}
    has_effect = {
        "percentile": settings.pruner == "percentile",
        "n_warmup_epochs": settings.pruner != "none",
        "n_startup_trials": learns or counts,
    }
    for override in overrides:
        if not has_effect.get(key_of(override).removeprefix("hydra.sweeper."), True):
            given = f"sampler {settings.sampler} and pruner {settings.pruner}"
            raise UserError(f"{override} has no effect with {given} of hydra.sweeper")


def _check_launcher(settings: SearchSettings, launcher: DictConfig) -> None:
    """Refuse a number of workers that the launcher can't have, and options of joblib's that a search does not use."""
    if not is_of(launcher, RAY):  # Ray knows its cores only once it is connected
        cores.search_workers(settings.workers, launcher)
    if is_of(launcher, JOBLIB):
        usual: Any = ConfigStore.instance().load("hydra/launcher/joblib.yaml").node
        options: dict[str, Any] = OmegaConf.to_container(launcher)  # type: ignore[assignment]
        for key, value in options.items():
            if key != "n_jobs" and value != usual.get(key):
                raise UserError(f"hydra.launcher.{key} = {value!r} has no effect in a search")


def check_ends(config: DictConfig, spaces: Spaces) -> None:
    """Refuse the lowest or highest value of a space, or a category, if no trial can have it.

    Each is tried twice: with the first and with the last values of all other spaces.

    Args:
        config: Composed configuration of the search.
        spaces: Spaces of the search.

    Raises:
        UserError: The project's checks refuse the value both times.
    """
    ends = spaces.ends()
    others = [{key: values[end] for key, values in ends.items()} for end in (0, -1)]
    for key, value in ((key, value) for key, values in ends.items() for value in values):
        errors = [error for base in others if (error := _error(config, spaces.overrides({**base, key: value})))]
        if len(errors) == len(others):
            is_whole = isinstance(value, float) and "integer" in errors[0]
            raise UserError(errors[0] + (", as of int(interval(...))" if is_whole else ""))


def _error(config: DictConfig, overrides: Sequence[str]) -> str:
    """Return the error of the trial with these overrides, empty if it has none."""
    try:
        find_project().check_values(composed(config, overrides), "the search")
    except (CompactHydraException, UserError) as error:
        return one_line(error)
    return ""
