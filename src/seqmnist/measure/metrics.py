"""The content of reports/metrics.json: each cell's figures over its seeds, and the claims."""

from statistics import fmean, stdev
from typing import Any

from accord.settings import flatten
from seqmnist.measure.claims import as_json, remembered
from seqmnist.measure.convergence import area, reached
from seqmnist.measure.measures import Measured, Measures
from seqmnist.measure.statistics import Test


def content(measured: Measured, tests: dict[str, Test], examples: int) -> dict[str, Any]:
    """Return the content of metrics.json.

    It has for each cell the means over seeds, their deviations under `std` where there are several seeds, and each
    seed's figures under `seeds`. The claims come last.

    Args:
        measured: Measures of each seed's model, by cell.
        tests: Tests of the claims, by name.
        examples: Number of training images in an epoch.
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
    """Return the cells' parts of metrics.json."""
    return {cell: part for cell, part in metrics.items() if cell != "claims"}


def model_figures(one: Measures, examples: int) -> dict[str, float]:
    """Return a model's figures by dotted name; `examples` is the number of training images in an epoch."""
    after = {name.replace(" ", "_"): accuracy for name, accuracy in one.after.items()}
    further = {
        "convergence": {"area": area(one.curve), **reached(one.curve, examples)},
        "after": {**after, "mean": remembered(one)},
        "flow": {when: float(norms[-1]) for when, norms in one.flow.items()},
    }
    return one.summary | flatten(further)


def over_seeds(figures: list[dict[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Return mean and sample standard deviation of each figure that all seeds have; one seed has no deviation."""
    shared = [key for key in figures[0] if all(key in one for one in figures)]
    values = {key: [float(one[key]) for one in figures] for key in shared}
    deviations = {key: stdev(each) for key, each in values.items()} if len(figures) > 1 else {}
    return {key: fmean(each) for key, each in values.items()}, deviations


def numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the numbers that MLflow compares, by dotted name: no words, and no single seeds."""
    flat = flatten(metrics)
    numeric = {key: value for key, value in flat.items() if isinstance(value, int | float) and ".seeds." not in key}
    bounds = {
        f"claims.{name}.{end}": value
        for name, one in metrics["claims"].items()
        for end, value in zip(("low", "high"), one["interval"], strict=True)
    }
    return numeric | bounds


def spread(values: list[float]) -> str:
    """Return one value as text, or the mean and sample standard deviation of several."""
    return f"{values[0]:.4f}" if len(values) == 1 else f"{fmean(values):.4f} ± {stdev(values):.4f}"


def figures_of_seeds(part: dict[str, Any], key: str) -> list[float]:
    """Return a figure, by its dotted name, of each seed in a cell's part of metrics.json."""
    return [flatten(one)[key] for one in part["seeds"].values()]


def nest(flat: dict[str, float]) -> dict[str, Any]:
    """Turn dotted names into nested keys: {"a.b": 1} becomes {"a": {"b": 1}}."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return nested
