"""Pictures of a search, and which of its values mattered."""

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
    """Return the share of each searched key in how the metric varied (PED-ANOVA, Watanabe et al. 2023), largest first.

    It is empty where fewer than two trials were trained to their end, or all came to the same.
    """
    if not is_there(sweep):  # it was refused
        return {}
    study = _study(sweep)
    values = [trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
    finite = {value for value in values if value is not None and math.isfinite(value)}
    return get_param_importances(study) if len(finite) > 1 else {}


def draw(sweep: Path, folder: Path) -> None:
    """Draw the history of a search, importances if there are any, and the metric by each value, as PNG files.

    The project's own parallel coordinates are kept, if it has drawn them into the folder.
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
            warnings.simplefilter("ignore")  # of Optuna's new features, and of axes with one value
            plot(study, target_name=metric)
            plt.savefig(folder / name, bbox_inches="tight", dpi=150)
            plt.close("all")


def _study(sweep: Path) -> optuna.Study:
    return optuna.load_study(study_name=NAME, storage=open_journal(sweep))
