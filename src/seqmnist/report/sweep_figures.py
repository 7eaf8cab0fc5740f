"""Figures of a sweep's trials."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqmnist.report.figures import LABEL, MARKERS, TICK, drawing, name_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BRIGHTEST = 0.85  # upper end of the colour map: the yellow beyond is too pale for a line
_FEW = 8  # up to so many distinct numbers, each gets its own mark


def draw(
    folder: Path,
    curves: Mapping[str, Sequence[float]],
    columns: Mapping[str, Sequence[Any]],
    accuracies: Sequence[float],
) -> None:
    """Draw the learning curves of a sweep's best trials, and all trials' parameters if they differ.

    Args:
        folder: Folder of the PNG files.
        curves: Validation accuracy by epoch of each of the best trials, by name.
        columns: Value in each trial of every parameter that varies.
        accuracies: Validation accuracy of each trial.
    """
    learning_curves(folder / "learning_curves.png", curves)
    if columns:
        parallel_coordinates(folder / "parallel_coordinates.png", columns, accuracies)


def learning_curves(path: Path, curves: Mapping[str, Sequence[float]]) -> None:
    """Draw validation accuracy by epoch of some trials, by name, the best first."""
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    with drawing(path, width=9, height=5) as figure:
        axes = figure.subplots()
        # Colour shows the rank: a cell's own colour would be the same for all of its trials.
        shades = colormaps["viridis"](np.linspace(_BRIGHTEST, 0, len(curves)))
        for (name, curve), shade, marker in zip(curves.items(), shades, cycle(MARKERS)):
            axes.plot(range(len(curve)), curve, color=shade, marker=marker, label=name)
        name_axes(axes, "epoch", "validation accuracy")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=TICK - 2, loc="lower right")


def parallel_coordinates(path: Path, columns: Mapping[str, Sequence[Any]], accuracies: Sequence[float]) -> None:
    """Draw a line for each trial through its values, coloured by its accuracy.

    Args:
        path: Path of the PNG file.
        columns: Value in each trial of every parameter that varies.
        accuracies: Validation accuracy of each trial.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    with drawing(path, width=2.2 * (len(columns) + 1) + 1.5, height=5) as figure:
        axes = figure.subplots()
        scales = [*(_axis_of(values) for values in columns.values()), _scale(accuracies)]
        heights = np.array([scale for scale, _ in scales])  # [parameters + 1, trials]
        low, high = min(accuracies), max(accuracies)
        shade = Normalize(low, low + (high - low) / _BRIGHTEST)
        for trial in np.argsort(accuracies):  # the best on top
            colour = colormaps["viridis"](shade(accuracies[trial]))
            axes.plot(heights[:, trial], color=colour, linewidth=1.8, alpha=0.8)
        for x, (_, marks) in enumerate(scales):
            _draw_axis(axes, x, marks)
        axes.set_xticks(range(len(scales)), [*columns, "validation\naccuracy"], fontsize=LABEL)
        axes.set(xlim=(-0.3, len(scales) - 0.4), yticks=[])
        axes.spines[:].set_visible(False)


Axis = tuple[
    NDArray[np.float64], list[tuple[float, str]]
]  # heights [trials] of the values, from 0 to 1, and marks (height, text)


def _axis_of(values: Sequence[Any]) -> Axis:
    """Return an axis with a mark for each distinct value, or a scale if there are many numbers."""
    is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    different = sorted(set(values)) if is_number else sorted(set(values), key=str)
    if is_number and len(different) > _FEW:
        return _scale(values)
    places = np.linspace(0, 1, len(different)) if len(different) > 1 else np.array([0.5])
    marks = [(float(place), _text(value)) for value, place in zip(different, places, strict=True)]
    return np.array([places[different.index(value)] for value in values]), marks


def _scale(values: Sequence[float]) -> Axis:
    """Return a scale with marks at its ends and in the middle, logarithmic where the values span a factor of ten."""
    low, high = min(values), max(values)
    use_log = low > 0 and high / low >= 10
    bend, unbend = (np.log, np.exp) if use_log else (np.asarray, np.asarray)
    ends = bend([low, high])
    heights = (bend(np.array(values, float)) - ends[0]) / (np.ptp(ends) or 1.0)
    middle = float(unbend(ends.mean()))
    return heights, [(0.0, _text(low)), (0.5, _text(middle)), (1.0, _text(high))]


def _draw_axis(axes: "Axes", x: int, marks: list[tuple[float, str]]) -> None:
    axes.axvline(x, color="black", linewidth=1)
    for height, text in marks:
        axes.plot([x - 0.02, x + 0.02], [height, height], color="black", linewidth=1)
        axes.annotate(
            text,
            (x, height),
            xytext=(5, 0),
            textcoords="offset points",
            fontsize=TICK,
            va="center",
            bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)
