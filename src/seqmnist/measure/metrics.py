"""The content of reports/metrics.json: each cell's figures over its seeds, and the claims."""

from statistics import fmean, stdev
from typing import Any

from accord.settings import flatten
from seqmnist.measure.claims import as_json, remembered
from seqmnist.measure.convergence import area, reached
from seqmnist.measure.measures import Measured, Measures
from seqmnist.measure.statistics import Test


def content(measured: Measured, tests: dict[str, Test], examples: int) -> dict[str, Any]:
    """All of metrics.json: for each cell the means over seeds, of several also `std`, and `seeds` with each one's.

    Args:
        measured: for each cell what was measured of each seed's model.
        tests: of the claims, by name.
        examples: training images in an epoch.
    """
    metrics: dict[str, Any] = {}
    for cell, models in measured.items():
        flat = {one.seed: model_figures(one, examples) for one in models}
        mean, std = over_seeds(list(flat.values()))
        metrics[cell] = nest(mean)
        if std:
            metrics[cell]["std"] = nest(std)
        metrics[cell]["seeds"] = {str(seed): nest(one) for seed, one in flat.items()}
    return metrics | {"claims": {name: as_json(test) for name, test in tests.items()}}


def cells_of(metrics: dict[str, Any]) -> dict[str, Any]:
    """The cells' parts of metrics.json."""
    return {cell: part for cell, part in metrics.items() if cell != "claims"}


def model_figures(one: Measures, examples: int) -> dict[str, float]:
    """A model's figures by dotted name; `examples` are the training images in an epoch."""
    after = {name.replace(" ", "_"): accuracy for name, accuracy in one.after.items()}
    further = {
        "convergence": {"area": area(one.curve), **reached(one.curve, examples)},
        "after": {**after, "mean": remembered(one)},
        "flow": {when: float(norms[-1]) for when, norms in one.flow.items()},
    }
    return one.summary | flatten(further)


def over_seeds(figures: list[dict[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and sample standard deviation of each figure that all seeds have; of one seed no deviation."""
    shared = [key for key in figures[0] if all(key in one for one in figures)]
    values = {key: [float(one[key]) for one in figures] for key in shared}
    deviations = {key: stdev(each) for key, each in values.items()} if len(figures) > 1 else {}
    return {key: fmean(each) for key, each in values.items()}, deviations


def numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """The figures by dotted name that MLflow can compare: without single seeds and words."""
    flat = flatten(metrics)
    numeric = {key: value for key, value in flat.items() if isinstance(value, int | float) and ".seeds." not in key}
    bounds = {
        f"claims.{name}.{end}": value
        for name, one in metrics["claims"].items()
        for end, value in zip(("low", "high"), one["interval"], strict=True)
    }
    return numeric | bounds


def spread(values: list[float]) -> str:
    """A value, or the mean and sample standard deviation of several."""
    return f"{values[0]:.4f}" if len(values) == 1 else f"{fmean(values):.4f} ± {stdev(values):.4f}"


def figures_of_seeds(part: dict[str, Any], key: str) -> list[float]:
    """What each seed has of a figure by its dotted name, from a cell's part of metrics.json."""
    return [flatten(one)[key] for one in part["seeds"].values()]


def nest(flat: dict[str, float]) -> dict[str, Any]:
    """Dotted names as nested keys: {"a.b": 1} becomes {"a": {"b": 1}}."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return nested
