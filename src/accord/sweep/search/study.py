"""A search as an Optuna study: ask for the next values, report results, and prune trials."""

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

_MAY_CHANGE = {"n_trials", "timeout", "workers", "params"}  # in a resumed search; spaces are compared separately


def check(sweep: Path, settings: SearchSettings, spaces: Spaces) -> None:
    """Check that a sweep's folder is empty, or has the same search.

    Raises:
        UserError: The folder has another search, or trials of a sweep that is no search.
    """
    noted = None
    if is_there(sweep):
        with suppress(KeyError):  # a kill came before the study was made, or before it had its identity
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
    """Return the overrides of each trial that a search has asked for, by number."""
    if not is_there(sweep):
        return []
    trials = optuna.load_study(study_name=NAME, storage=open_journal(sweep)).trials
    return [spaces.overrides(trial.params) for trial in trials if trial.params]  # a kill can leave one without values


def _identity(settings: SearchSettings, spaces: Spaces) -> dict[str, Any]:
    """Return the settings and spaces that must be the same when a search is resumed."""
    own = {key: distribution_to_json(one) for key, one in spaces.distributions.items()}
    return settings.model_dump(exclude=_MAY_CHANGE) | own | {"constant": sorted(spaces.constant)}


class Search:
    """Optuna study in a sweep's folder; its trials have the same numbers as the sweep's."""

    def __init__(self, sweep: Path, settings: SearchSettings, spaces: Spaces) -> None:
        """Make the study, or resume the one in the folder, which `check` has found to be the same."""
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
        self._judged: dict[int, int] = {}  # number of judged epochs, by the trial's number
        size = math.prod(map(len, spaces.grid().values())) if settings.sampler == "grid" else settings.n_trials
        self.n_trials = min(settings.n_trials, size)
        self._study.set_user_attr(NAME, _identity(settings, spaces))

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """Trials that were asked for, by number."""
        return self._study.get_trials(deepcopy=False)

    def unfinished(self) -> list[int]:
        """Return the numbers of trials that have values but no result."""
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
        """Report a trial's finished epochs to the study, and prune the trial at the first that the pruner rejects.

        Each epoch is judged by itself and in order, so that the decision does not depend on the time of the call.
        """
        folder, trial_id = self._sweep / str(number), self._trial_id(number)
        if Pruning.read(folder):
            return
        reported, curve = self.trials[number].intermediate_values, self._curve(folder)
        for epoch in range(self._judged.get(number, max(reported, default=0)), len(curve)):
            if epoch not in reported:
                self._storage.set_trial_intermediate_value(trial_id, epoch, curve[epoch])
            self._judged[number] = epoch + 1
            with _quiet():  # a new pruner each time: Hyperband's state would differ in a resumed search
                is_bad = pruner(self._settings).prune(self._study, self._storage.get_trial(trial_id))
            if is_bad:
                Pruning(epoch, sha256_file(folder / PARAMS)).write(folder)
                return

    def tell(self, number: int) -> None:
        """Tell the study the result of a trial that ended; one that failed or was killed stays open for a resume."""
        folder = self._sweep / str(number)
        self.look(number)
        result = Result.read(folder)
        if result is None or not result.is_over:
            return
        with _quiet():
            self._study.sampler = RandomSampler()  # a grid's would stop Optuna's own loop, which does not run
            if pruning := Pruning.read(folder):
                replace(result, status="PRUNED", epoch=pruning.epoch).write(folder)  # the trial may have finished first
                self._study.tell(number, state=TrialState.PRUNED)
            else:
                accuracy = math.nan if result.accuracy is None else result.accuracy
                self._study.tell(number, -math.inf if math.isnan(accuracy) else accuracy)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._storage.get_study_id_from_name(NAME), number)

    @staticmethod
    def _curve(folder: Path) -> list[float]:
        """Return the project's metric by epoch, of a trial that runs or has ended."""
        if (result := Result.read(folder)) and result.curve:
            return [math.nan if value is None else value for value in result.curve]
        return [epoch[find_project().metric] for epoch in finished_epochs(folder / CHECKPOINTS)]


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings: Optuna's of experimental features, since its version is pinned, and NumPy's of NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
