"""Hydra's sweeper of a search: it asks Optuna for the values of each trial, and tells it what the trial came to."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from accord.errors import UserError, one_line
from accord.project import find_project
from accord.sweep import cores
from accord.sweep.launchers import JOBLIB, is_of
from accord.sweep.search import trials
from accord.sweep.search.settings import TARGET, SearchSettings, defaults, settings_of
from accord.variants import as_pipeline

if TYPE_CHECKING:  # they import Optuna
    from accord.sweep.search.spaces import Spaces
    from accord.sweep.search.study import Search


def register() -> None:
    """Make Hydra know the sweeper, as the option `optuna` of its group of sweepers."""
    Plugins.instance().register(OptunaSweeper)  # which loads all plugins before, also another one of this name
    ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=defaults(), provider="accord")
    is_plugin = Plugins.is_in_toplevel_plugins_module  # Hydra would have a sweeper only from the package hydra_plugins
    Plugins.is_in_toplevel_plugins_module = staticmethod(lambda name: name == TARGET or is_plugin(name))  # type: ignore[method-assign, assignment]


def check(config: DictConfig) -> None:
    """Refuse, with a `UserError`, a search that can't work, before anything is written."""
    from accord.sweep.search import samplers

    settings = settings_of(config)
    samplers.check(settings, _spaces(settings, list(config.hydra.overrides.task)))
    if is_of(launcher := config.hydra.launcher, JOBLIB):
        usual = ConfigStore.instance().load("hydra/launcher/joblib.yaml").node
        for key in launcher:
            if key != "n_jobs" and launcher[key] != usual.get(key):
                raise UserError(f"hydra.launcher.{key} = {launcher[key]} has no effect in a search")


def _spaces(settings: SearchSettings, overrides: Sequence[str]) -> "Spaces":
    """Return the spaces of the file of conf/search, which the command line's overrides replace."""
    from accord.sweep.search.spaces import parse

    return parse([*(f"{key}={value}" for key, value in (settings.params or {}).items()), *overrides])


class OptunaSweeper(Sweeper):
    """Runs a search, as many trials at a time as there are workers."""

    def __init__(self, **_settings: Any) -> None:
        """Take the settings as Hydra gives them; they are read from the whole configuration."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what trials are started with."""
        self._context, self._config, self._task = hydra_context, config, task_function

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials of a search, or those that its folder lacks.

        Raises:
            UserError: A value of a space is impossible, the folder has another search, or the launcher can't do it.
        """
        from accord.sweep.search.study import Search

        settings, launcher = settings_of(self._config), self._config.hydra.launcher
        spaces = _spaces(settings, arguments)
        self._refuse_impossible(spaces)
        workers = cores.search_workers(settings.workers, launcher)
        search = Search(Path(self._config.hydra.sweep.dir), settings, spaces)
        numbers = self._numbers(search, settings)
        if is_of(launcher, JOBLIB):
            self._config.hydra.overrides.hydra.append(f"hydra.launcher.n_jobs={workers}")  # by which trials get threads
            trials.run_one_by_one(search, numbers, workers, (self._context, self._config, self._task))
        else:
            plugin = Plugins.instance().instantiate_launcher(
                config=self._config, hydra_context=self._context, task_function=self._task
            )
            trials.run_in_batches(search, numbers, workers, plugin)

    def _numbers(self, search: "Search", settings: SearchSettings) -> Iterator[int]:
        """Yield the numbers of trials as workers want one: first those that were asked for, and did not end."""
        begin = time.monotonic()

        def has_time() -> bool:
            return settings.timeout is None or time.monotonic() - begin < settings.timeout

        for number in search.unfinished():
            if has_time():
                yield number
        while len(search.trials) < search.n_trials and has_time():
            yield search.ask()
        if not has_time():
            started = len(search.trials)
            print(
                f"{settings.timeout:g} seconds are over: {started} of {search.n_trials} trials were started", flush=True
            )

    def _refuse_impossible(self, spaces: "Spaces") -> None:
        """Refuse an end of a space that no trial could have, whichever ends the other values are at."""
        ends = spaces.ends()
        others = [{key: values[end] for key, values in ends.items()} for end in (0, -1)]
        for key, value in ((key, value) for key, values in ends.items() for value in values):
            errors = [error for base in others if (error := self._error(spaces.overrides({**base, key: value})))]
            if len(errors) == len(others):
                raise UserError(errors[0])

    def _error(self, overrides: Sequence[str]) -> str:
        """Return what is wrong with the trial of these overrides, empty if nothing is."""
        try:
            config = self._context.config_loader.load_sweep_config(self._config, list(overrides))
            values: Any = OmegaConf.to_container(
                OmegaConf.masked_copy(config, [*set(config) - {"hydra"}]), resolve=True
            )
            find_project().check_values(as_pipeline(values), "the search")
        except (CompactHydraException, UserError) as error:
            return one_line(error)
        return ""
