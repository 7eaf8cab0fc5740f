"""The sweeper for Hydra that runs a search: Optuna chooses the values of each trial and is told its result."""

import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from accord.project import own_command
from accord.sweep import cores
from accord.sweep.launchers import JOBLIB, is_of
from accord.sweep.search import trials
from accord.sweep.search.settings import TARGET, SearchSettings, defaults, settings_of

if TYPE_CHECKING:  # imports Optuna
    from accord.sweep.search.study import Search


def register() -> None:
    """Register the sweeper with Hydra, as the option `optuna` of its group `hydra/sweeper`."""
    Plugins.instance().register(OptunaSweeper)  # loads all plugins first, so that no other `optuna` replaces ours
    ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=defaults(), provider="accord")
    is_plugin = Plugins.is_in_toplevel_plugins_module  # Hydra takes sweepers only from the package hydra_plugins
    Plugins.is_in_toplevel_plugins_module = staticmethod(lambda name: name == TARGET or is_plugin(name))  # type: ignore[method-assign, assignment]


class OptunaSweeper(Sweeper):
    """Hydra sweeper that runs a search, with one trial at a time on each worker."""

    def __init__(self, **_settings: Any) -> None:
        """Ignore the settings that Hydra gives; `sweep` reads them from the whole configuration."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the context, the function and the configuration that trials are started with."""
        self._context, self._config, self._task = hydra_context, config, task_function

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials of a search, or those that its folder lacks.

        Args:
            arguments: Overrides of the command line.

        Raises:
            UserError: The launcher can't run the wanted number of parallel trials.
        """
        from accord.sweep.search.check import spaces_of
        from accord.sweep.search.study import Search

        settings, launcher = settings_of(self._config), self._config.hydra.launcher
        spaces = spaces_of(settings, arguments)
        workers = cores.search_workers(settings.workers, launcher)
        search = Search(Path(self._config.hydra.sweep.dir), settings, spaces)
        numbers = self._numbers(search, settings)
        if is_of(launcher, JOBLIB):
            self._config.hydra.overrides.hydra.append(f"hydra.launcher.n_jobs={workers}")  # sets threads
            trials.run_one_by_one(search, numbers, workers, (self._context, self._config, self._task))
        else:
            plugin = Plugins.instance().instantiate_launcher(
                config=self._config, hydra_context=self._context, task_function=self._task
            )
            trials.run_in_batches(search, numbers, workers, plugin)

    def _numbers(self, search: "Search", settings: SearchSettings) -> Iterator[int]:
        """Yield the number of the next trial on demand: first the unfinished ones, then new ones until the timeout."""
        begin = time.monotonic()

        def has_time() -> bool:
            return settings.timeout is None or time.monotonic() - begin < settings.timeout

        is_cut = False
        for number in search.unfinished():
            if has_time():
                yield number
            else:
                is_cut = True
        while len(search.trials) < search.n_trials and not is_cut:
            if has_time():
                yield search.ask()
            else:
                is_cut = True
        if is_cut:
            started, resume = len(search.trials), own_command(f"resume {shlex.quote(self._config.hydra.sweep.dir)}")
            over = f"{settings.timeout:g} seconds are over, and {started} of {search.n_trials} trials were started"
            print(f"{over}: {resume} goes on", flush=True)
