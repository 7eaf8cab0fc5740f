"""Optuna's samplers, which choose the values of trials, and its pruners, which end unpromising trials early."""

from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, PercentilePruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, GridSampler, QMCSampler, RandomSampler, TPESampler

from accord.errors import UserError
from accord.files import sha256_json
from accord.sweep.search.settings import SearchSettings
from accord.sweep.search.spaces import Spaces


def check(settings: SearchSettings, spaces: Spaces) -> None:
    """Check that the sampler can choose from the spaces.

    Raises:
        UserError: An interval has no grid, or CMA-ES has fewer than two spaces of numbers.
    """
    if settings.sampler == "grid":
        spaces.grid()
    distributions = [one for one in spaces.distributions.values() if not one.single()]
    numbers = [one for one in distributions if not isinstance(one, CategoricalDistribution)]
    if settings.sampler == "cmaes" and len(numbers) < 2:
        raise UserError("hydra.sweeper.sampler = cmaes needs two or more spaces of numbers: choose another")


def sampler(settings: SearchSettings, spaces: Spaces, number: int) -> BaseSampler:
    """Return the sampler of one trial, seeded by the search's seed and the trial's number.

    No earlier draws matter, so a resumed search draws the same values. QMC and grid samplers use the search's seed
    alone: Optuna keeps their position in the study.
    """
    own = int(sha256_json([settings.seed, number])[:8], 16)
    match settings.sampler:
        case "tpe":
            return TPESampler(seed=own, n_startup_trials=settings.n_startup_trials)
        case "gp":
            return GPSampler(seed=own, n_startup_trials=settings.n_startup_trials)
        case "cmaes":
            return CmaEsSampler(seed=own, warn_independent_sampling=False)
        case "qmc":
            independent = RandomSampler(seed=own)
            return QMCSampler(
                seed=settings.seed, scramble=True, independent_sampler=independent, warn_independent_sampling=False
            )
        case "grid":
            return GridSampler(spaces.grid(), seed=settings.seed)
    return RandomSampler(seed=own)


def pruner(settings: SearchSettings) -> BasePruner:
    """Return the pruner, which judges a trial after each epoch behind the warm-up; its steps are epochs from 0."""
    options: dict[str, Any] = {
        "n_startup_trials": settings.n_startup_trials,
        "n_warmup_steps": settings.n_warmup_epochs,
    }
    match settings.pruner:
        case "median":
            return MedianPruner(**options)
        case "percentile":
            return PercentilePruner(settings.percentile, **options)
        case "hyperband":
            return HyperbandPruner(min_resource=max(1, settings.n_warmup_epochs))
    return NopPruner()
