"""What a sweep came to: a table and two figures."""

import math
import tempfile
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from statistics import fmean
from typing import Any

from seqmnist.evidence import sweep_figures
from seqmnist.files import write_csv
from seqmnist.sweep.names import short
from seqmnist.tracking.sweeps import Sweep, Trial

ACCURACY, TEST = "selected.val.accuracy", "selected.test.accuracy"
SEED = "seed"
_TOP = 5  # trials whose learning curves are drawn
_SHOWN = 10  # trials in the printed table


def record(sweep: Sweep, trials: Sequence[Trial]) -> None:
    """Log the table of all trials, the figures, and the best trial to the sweep's own run."""
    ranked = best_first(trials)
    metrics = {"trials.finished": float(len(ranked)), "trials.not_finished": float(len(trials) - len(ranked))}
    tags = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_csv(folder / "trials.csv", rows(trials))
        if ranked:
            best = ranked[0]
            metrics |= {"best.val.accuracy": best.metrics[ACCURACY], "best.test.accuracy": best.metrics[TEST]}
            tags = {"best.trial": f"#{best.number} {best.name}", "best.run_id": best.run_id}
            curves = {trial.name: sweep.curve(trial, "val.accuracy") for trial in ranked[:_TOP]}
            sweep_figures.learning_curves(folder / "learning_curves.png", curves)
            if columns := varied(ranked):
                accuracies = [trial.metrics[ACCURACY] for trial in ranked]
                named = {short(key) if key != "cell.type" else "cell": values for key, values in columns.items()}
                sweep_figures.parallel_coordinates(folder / "parallel_coordinates.png", named, accuracies)
        sweep.record(metrics, tags, folder)


def best_first(trials: Sequence[Trial]) -> list[Trial]:
    """The finished trials by validation accuracy; the earlier one first on ties."""
    finished = [trial for trial in trials if trial.status == "FINISHED"]
    return sorted(finished, key=lambda trial: (-trial.metrics[ACCURACY], trial.number))


def varied(trials: Sequence[Trial]) -> dict[str, list[Any]]:
    """The parameters in which trials differ, with the value of each trial."""
    keys = dict.fromkeys(key for trial in trials for key in trial.parameters)
    columns = {key: [trial.parameters.get(key) for trial in trials] for key in keys}
    return {key: values for key, values in columns.items() if any(value != values[0] for value in values)}


def configurations(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Finished trials that differ in the seed alone together; the best mean validation accuracy first."""

    def key(trial: Trial) -> str:
        return repr(sorted((name, value) for name, value in trial.parameters.items() if name != SEED))

    groups = [list(group) for _, group in groupby(sorted(best_first(trials), key=key), key)]
    return sorted(groups, key=lambda group: -fmean(trial.metrics[ACCURACY] for trial in group))


def rows(trials: Sequence[Trial]) -> list[list[Any]]:
    """A header and a row for each trial, by number."""
    columns = varied(trials)
    head = ["trial", "name", "status", *columns, "epoch", "val.accuracy", "test.accuracy", "minutes", "run_id", "error"]
    return [
        head,
        *(
            [
                trial.number,
                trial.name,
                trial.status,
                *(values[k] for values in columns.values()),
                *(trial.metrics.get(name) for name in ("selected.epoch", ACCURACY, TEST)),
                round(trial.minutes, 2),
                trial.run_id,
                trial.error,
            ]
            for k, trial in enumerate(trials)
        ),
    ]


def table(trials: Sequence[Trial]) -> str:
    """The best trials and all that did not finish, as text in columns."""
    ranked = best_first(trials)
    width = max(len(trial.name) for trial in trials)
    lines = [f"{'trial':>5}  {'':<{width}} {'val accuracy':>13} {'test accuracy':>14} {'minutes':>8}"]
    lines += [
        f"{trial.number:>5}  {trial.name:<{width}} {trial.metrics[ACCURACY]:>13.4f} {trial.metrics[TEST]:>14.4f}"
        f" {_minutes(trial):>8}"
        for trial in ranked[:_SHOWN]
    ]
    if len(ranked) > _SHOWN:
        lines.append(f"       ... and {len(ranked) - _SHOWN} more")
    failed = sorted((trial for trial in trials if trial.status != "FINISHED"), key=attrgetter("number"))
    lines += [f"{trial.number:>5}  {trial.name:<{width}} {trial.status}: {trial.error}" for trial in failed]
    return "\n".join(lines)


def _minutes(trial: Trial) -> str:
    return "-" if math.isnan(trial.minutes) else f"{trial.minutes:.1f}"
