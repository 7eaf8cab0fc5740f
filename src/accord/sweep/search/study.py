"""A search as Optuna's study: which values come next, what trials came to, and which of them to give up."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from accord.checkpoints import finished_epochs
from accord.errors import UserError
from accord.files import sha256_file
from accord.paths import PARAMS
from accord.project import find_project
from accord.sweep.folders import CHECKPOINTS, Pruning, Result
from accord.sweep.search.journal import NAME, is_there, mend, open_journal
from accord.sweep.search.samplers import pruner, sampler
from accord.sweep.search.settings import SearchSettings
from accord.sweep.search.spaces import Spaces

_MAY_CHANGE = {"n_trials", "timeout", "workers", "params"}  # when a search goes on; spaces are compared by themselves


def check(sweep: Path, settings: SearchSettings, spaces: Spaces) -> None:
    """Refuse, with a `UserError`, a sweep's folder that has another search, or trials of no search."""
    noted = None
    if is_there(sweep):
        with suppress(KeyError):  # the study was not made yet, or not noted what is searched
            noted = optuna.load_study(study_name=NAME, storage=open_journal(sweep)).user_attrs[NAME]
    if noted is None:
        if any(sweep.glob("[0-9]*/params.yaml")):
            raise UserError(f"hydra.sweep.dir={sweep} has trials of another sweep: give a new one")
        return
    own = _identity(settings, spaces)
    for key in own | noted:
        if own.get(key) != noted.get(key):
            remedy = "give a new one, or the command of that search"
            raise UserError(f"hydra.sweep.dir={sweep} has another search, whose {key} differs: {remedy}")


def asked(sweep: Path, spaces: Spaces) -> list[list[str]]:
    """Return the overrides of each trial that the search in a sweep's folder has asked for, by number."""
    if not is_there(sweep):
        return []
    trials = optuna.load_study(study_name=NAME, storage=open_journal(sweep)).trials
    return [spaces.overrides(trial.params) for trial in trials if trial.params]  # a kill leaves a last one without any


def _identity(settings: SearchSettings, spaces: Spaces) -> dict[str, Any]:
    """Return what must be the same when a search goes on."""
    own = {key: distribution_to_json(one) for key, one in spaces.distributions.items()}
    return settings.model_dump(exclude=_MAY_CHANGE) | own | {"constant": sorted(spaces.constant)}


class Search:
    """The study in a sweep's folder. Its trials have the numbers of the sweep's."""

    def __init__(self, sweep: Path, settings: SearchSettings, spaces: Spaces) -> None:
        """Make the study, or go on with the one that the folder has, which `check` has found to be the same."""
        self._sweep, self._settings, self._spaces = sweep, settings, spaces
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        mend(sweep, len(spaces.distributions))
        self._storage = open_journal(sweep)
        with _quiet():
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=NAME,
                direction=settings.direction,
                pruner=pruner(settings),
                load_if_exists=True,
            )
        self._judged: dict[int, int] = {}  # epochs of a trial that were judged, by its number
        size = math.prod(map(len, spaces.grid().values())) if settings.sampler == "grid" else settings.n_trials
        self.n_trials = min(settings.n_trials, size)
        self._study.set_user_attr(NAME, _identity(settings, spaces))

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """The trials that were asked for, by number."""
        return self._study.get_trials(deepcopy=False)

    def unfinished(self) -> list[int]:
        """Return the numbers of trials that have values and no result."""
        return [trial.number for trial in self.trials if trial.state == TrialState.RUNNING]

    def ask(self) -> int:
        """Choose the values of one more trial and return its number."""
        with _quiet():
            self._study.sampler = sampler(self._settings, self._spaces, len(self.trials))
            return self._study.ask(dict(self._spaces.distributions)).number

    def overrides(self, number: int) -> list[str]:
        """Return a trial's values as overrides."""
        return self._spaces.overrides(self.trials[number].params)

    def look(self, number: int) -> None:
        """Report the epochs that a trial has finished; where one is too bad, decide that the trial ends with it.

        Each epoch is judged by itself and in order, so that nothing depends on when they are looked at.
        """
        folder, trial_id = self._sweep / str(number), self._trial_id(number)
        if Pruning.read(folder):
            return
        reported, curve = self.trials[number].intermediate_values, self._curve(folder)
        for epoch in range(self._judged.get(number, max(reported, default=0)), len(curve)):
            if epoch not in reported:
                self._storage.set_trial_intermediate_value(trial_id, epoch, curve[epoch])
            self._judged[number] = epoch + 1
            with _quiet():  # and a new pruner: Hyperband's keeps what it saw first, which another process lacks
                is_bad = pruner(self._settings).prune(self._study, self._storage.get_trial(trial_id))
            if is_bad:
                Pruning(epoch, sha256_file(folder / PARAMS)).write(folder)
                return

    def tell(self, number: int) -> None:
        """Tell what a trial that ended came to. One that failed or was killed stays open, for a later command."""
        folder = self._sweep / str(number)
        self.look(number)
        result = Result.read(folder)
        if result is None or not result.is_over:
            return
        with _quiet():
            self._study.sampler = RandomSampler()  # that of a grid would stop a loop, which is not there
            if pruning := Pruning.read(folder):
                replace(result, status="PRUNED", epoch=pruning.epoch).write(folder)  # it may have ended before
                self._study.tell(number, state=TrialState.PRUNED)
            else:
                accuracy = math.nan if result.accuracy is None else result.accuracy
                self._study.tell(number, -math.inf if math.isnan(accuracy) else accuracy)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._storage.get_study_id_from_name(NAME), number)

    @staticmethod
    def _curve(folder: Path) -> list[float]:
        """Return the project's metric by epoch, of a trial that is at work or over."""
        if (result := Result.read(folder)) and result.curve:
            return [math.nan if value is None else value for value in result.curve]
        return [epoch[find_project().metric] for epoch in finished_epochs(folder / CHECKPOINTS)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back warnings: Optuna's of features that may change, for which its version is bound, and NumPy's of NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
