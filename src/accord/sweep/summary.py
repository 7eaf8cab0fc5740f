"""Tables, figures and rankings of a sweep's trials, and the trials' results as read from their folders."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from accord.files import write_csv
from accord.metric_names import EPOCH, SELECTED
from accord.project import find_project
from accord.sweep.folders import Result, TrialSettings
from accord.sweep.names import short
from accord.tracking.sweeps import Sweep, Trial
from accord.variants import SEED

_MAX_CURVES = 5  # trials whose learning curves are drawn
_MAX_ROWS = 10  # trials in the printed table


def record(sweep: Sweep, trials: Sequence[Trial], search: Path | None = None) -> None:
    """Log the table of all trials, the figures and the best trial to the sweep's own run.

    Args:
        sweep: The sweep's own run in MLflow.
        trials: All trials of the sweep.
        search: Folder of the sweep if it is a search, which adds the search's figures; None otherwise.
    """
    project, ranked = find_project(), best_first(trials)
    pruned = sum(trial.pruned is not None for trial in trials)
    metrics = {"trials.finished": float(len(ranked)), "trials.not_finished": float(len(trials) - len(ranked) - pruned)}
    metrics |= {"trials.pruned": float(pruned)} if pruned else {}
    tags = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_csv(folder / "trials.csv", rows(trials))
        if ranked:
            best = ranked[0]
            metrics |= {f"best.{name}": value for name in shown() if (value := _selected(best, name)) is not None}
            tags = {"best.trial": f"#{best.number} {best.name}", "best.run_id": best.run_id}
            curves = {trial.name: sweep.curve(trial, project.metric) for trial in ranked[:_MAX_CURVES]}
            kind = f"{project.variant}.type"
            columns = {short(key) if key != kind else project.variant: one for key, one in varied(ranked).items()}
            project.call("sweep_figures", folder, curves, columns, [score(trial) for trial in ranked])
            if search:
                from accord.sweep.search.pictures import draw

                draw(search, folder)
        sweep.record(metrics, tags, folder)


def score(trial: Trial) -> float:
    """Return a finished trial's best value of the project's metric."""
    return trial.metrics[SELECTED + find_project().metric]


def shown() -> list[str]:
    """Return the names of the metrics in tables, beginning with the project's metric."""
    project = find_project()
    return [project.metric, *project.reported]


def _selected(trial: Trial, metric: str) -> float | None:
    return trial.metrics.get(SELECTED + metric)


def best_first(trials: Sequence[Trial]) -> list[Trial]:
    """Sort the trials that were trained to their end: best one first, on ties the one with the lower number."""
    selected = SELECTED + find_project().metric
    whole = (trial for trial in trials if trial.status == "FINISHED" and trial.pruned is None)
    finished = [trial for trial in whole if selected in trial.metrics]
    return sorted(finished, key=lambda trial: (-score(trial), trial.number))


def varied(trials: Sequence[Trial]) -> dict[str, list[Any]]:
    """Return the parameters in which trials differ, each with its value in every trial; None where it is missing."""
    keys = dict.fromkeys(key for trial in trials for key in trial.parameters)
    columns = {key: [trial.parameters.get(key) for trial in trials] for key in keys}
    return {key: values for key, values in columns.items() if any(value != values[0] for value in values)}


def configurations(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Group the finished trials that differ in nothing but the seed; the group with the best mean comes first."""
    groups: dict[str, list[Trial]] = {}
    for trial in best_first(trials):
        key = repr(sorted((name, value) for name, value in trial.parameters.items() if name != SEED))
        groups.setdefault(key, []).append(trial)
    return sorted((groups[key] for key in sorted(groups)), key=lambda group: -fmean(map(score, group)))


def rows(trials: Sequence[Trial]) -> list[list[Any]]:
    """Return the table for trials.csv: a header, and a row for each trial in the given order."""
    columns, metrics = varied(trials), [EPOCH, *shown()]
    table: list[list[Any]] = [["trial", "name", "status", *columns, *metrics, "minutes", "run_id", "error"]]
    for k, trial in enumerate(trials):
        values = [*(column[k] for column in columns.values()), *(_selected(trial, name) for name in metrics)]
        status = trial.status if trial.pruned is None else f"PRUNED at epoch {trial.pruned}"
        end = [round(trial.minutes, 2), trial.run_id, trial.error]
        table.append([trial.number, trial.name, status, *values, *end])
    return table


def table(trials: Sequence[Trial]) -> str:
    """Return a table for the terminal: the best trials, the numbers of pruned ones, and the unfinished ones."""
    ranked = best_first(trials)
    width = max(len(trial.name) for trial in trials)
    heads = {metric: f" {metric.replace('.', ' '):>8}" for metric in shown()}
    lines = [f"{'trial':>5}  {'':<{width}}{''.join(f' {head}' for head in heads.values())} {'minutes':>8}"]
    for trial in ranked[:_MAX_ROWS]:
        figures = "".join(f" {_text(_selected(trial, metric), 4):>{len(head)}}" for metric, head in heads.items())
        lines.append(f"{trial.number:>5}  {trial.name:<{width}}{figures} {_text(trial.minutes, 1):>8}")
    if len(ranked) > _MAX_ROWS:
        lines.append(f"       ... and {len(ranked) - _MAX_ROWS} more")
    if pruned := [trial.number for trial in trials if trial.pruned is not None]:
        lines.append(f"       pruned: {', '.join(map(str, pruned))}")
    failed = [trial for trial in trials if trial.status != "FINISHED"]
    lines += [f"{trial.number:>5}  {trial.name:<{width}} {trial.status}: {trial.error}" for trial in failed]
    return "\n".join(lines)


def _text(value: float | None, decimals: int) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def trials_with_result(sweep: Path) -> list[Trial]:
    """Return the trials that have a result, by number, without what only MLflow has: run, minutes and parameters."""
    trials = []
    for folder, result in _results(sweep):
        metrics = result.metrics
        if not metrics and result.accuracy is not None and result.epoch is not None:  # an earlier version wrote it
            metrics = {SELECTED + find_project().metric: result.accuracy, SELECTED + EPOCH: result.epoch}
        name = TrialSettings.read(folder).name
        status, pruned = ("FINISHED", result.epoch) if result.status == "PRUNED" else (result.status, None)
        trials.append(Trial(int(folder.name), "", name, status, result.error, math.nan, "", {}, metrics, pruned))
    return trials


def pruned_at(sweep: Path) -> dict[int, int]:
    """Return the epoch in which each pruned trial was pruned, by the trial's number."""
    results = ((int(folder.name), result) for folder, result in _results(sweep) if result.status == "PRUNED")
    return {number: result.epoch for number, result in results if result.epoch is not None}


def forget_runs(sweep: Path) -> None:
    """Mark every result as not logged, so that trials log themselves again to a store that lacks the sweep."""
    for folder, result in _results(sweep):
        if result.is_logged:
            replace(result, is_logged=False).write(folder)


def unsent(sweep: Path) -> int:
    """Count the trials whose result is not completely in MLflow."""
    return sum(not result.is_logged for _, result in _results(sweep))


def _results(sweep: Path) -> list[tuple[Path, Result]]:
    folders = (path for path in sweep.iterdir() if path.is_dir() and path.name.isdigit())
    results = ((folder, Result.read(folder)) for folder in sorted(folders, key=lambda folder: int(folder.name)))
    return [(folder, result) for folder, result in results if result]
