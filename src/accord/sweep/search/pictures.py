"""Figures of a search, and the importance of each searched key."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import get_param_importances
from optuna.trial import TrialState
from optuna.visualization import matplotlib as pictures

from accord.metric_names import in_words
from accord.project import find_project
from accord.surroundings import default_style
from accord.sweep.search.journal import NAME, is_there, open_journal

_PARALLEL = "parallel_coordinates.png"


def importances(sweep: Path) -> dict[str, float]:
    """Return the importance of each searched key, largest first (PED-ANOVA, Watanabe et al. 2023).

    An importance is the key's share in the variation of the metric. The result is empty if fewer than two trials were
    trained to their end, or if all reached the same value.
    """
    if not is_there(sweep):  # the search was refused before it wrote a journal
        return {}
    study = _study(sweep)
    values = [trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
    finite = {value for value in values if value is not None and math.isfinite(value)}
    return get_param_importances(study) if len(finite) > 1 else {}


def draw(sweep: Path, folder: Path) -> None:
    """Draw the figures of a search as PNG files: history, slices, parallel coordinates, and importances if any.

    Args:
        sweep: Folder of the search.
        folder: Folder for the figures. Parallel coordinates that the project has drawn there are kept.
    """
    from matplotlib import pyplot as plt

    study, metric = _study(sweep), in_words(find_project().metric)
    wanted: dict[str, Callable[..., Any]] = {
        "history.png": pictures.plot_optimization_history,
        "slices.png": pictures.plot_slice,
    }
    if importances(sweep):
        wanted["importances.png"] = pictures.plot_param_importances
    if not (folder / _PARALLEL).exists():
        wanted[_PARALLEL] = pictures.plot_parallel_coordinate
    plt.switch_backend("agg")
    for name, plot in wanted.items():
        with default_style(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna warns of new features, Matplotlib of axes with one value
            plot(study, target_name=metric)
            plt.savefig(folder / name, bbox_inches="tight", dpi=150)
            plt.close("all")


def _study(sweep: Path) -> optuna.Study:
    return optuna.load_study(study_name=NAME, storage=open_journal(sweep))
