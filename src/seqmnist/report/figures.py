"""Figures that compare all cells, as PNG files, and the style of all figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accord.files import atomic_path
from accord.surroundings import default_style
from seqmnist.data.splits import CLASSES
from seqmnist.measure.calibration import shown
from seqmnist.measure.measures import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL, TICK, DPI = 14, 12, 300
# Okabe and Ito's palette, which colour-blind readers can distinguish. A cell has the same colour in every figure.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^v"  # markers, so that lines differ in more than colour
LINES = ("-", "--", "-.", ":")  # line styles of cells, where the style has no other meaning
_SPLITS = {"train": (":", "training"), "val": ("-", "validation"), "test": ("--", "test")}
_SIZES: dict[Any, int] = {"axes.labelsize": LABEL, "axes.titlesize": LABEL, "figure.titlesize": LABEL}
_SIZES |= {"xtick.labelsize": TICK, "ytick.labelsize": TICK, "legend.fontsize": TICK}


@contextmanager
def drawing(path: Path, width: float, height: float) -> "Iterator[Figure]":
    """Yield an empty figure of `width` by `height` inches, and write it as PNG atomically at the end.

    The style is the notebook's: tight layout, labels 14 pt, ticks 12 pt, 300 dpi.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with default_style(), rc_context(_SIZES), atomic_path(path) as temporary:
        figure = Figure(figsize=(width, height), layout="tight")
        yield figure
        figure.savefig(temporary, dpi=DPI, metadata={"Software": None})  # the same bytes each time


def name_axes(axes: "Axes", x: str, y: str) -> None:
    """Label the axes of a line plot and draw a light grid."""
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)


def plot_seeds(axes: "Axes", curves: NDArray[np.float64], line: str, colour: str, **mean: Any) -> None:
    """Draw the mean of curves [seeds, points], in a style of its own, and each of several curves as a thin line."""
    if len(curves) > 1:
        axes.plot(curves.T, line, color=colour, linewidth=0.5, alpha=0.5)
    axes.plot(curves.mean(axis=0), line, color=colour, linewidth=1.8, markersize=4, **mean)


def learning_curves(path: Path, measured: Measured) -> None:
    """Draw loss and accuracy of all cells by epoch: means over seeds, with a thin line for each of several seeds."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    with drawing(path, width=12, height=5) as figure:
        loss, accuracy = figure.subplots(1, 2)
        for (cell, models), colour, marker in zip(measured.items(), cycle(COLOURS), cycle(MARKERS)):
            for axes, metric in ((loss, "loss"), (accuracy, "accuracy")):
                for split, (line, name) in _SPLITS.items():
                    curves = np.array([[row.metrics[f"{split}.{metric}"] for row in one.rows] for one in models])
                    plot_seeds(axes, curves, line, colour, marker=marker, label=f"{cell} {name}")
        loss.set_yscale("log")
        loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        loss.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        loss.yaxis.set_minor_locator(NullLocator())
        # The axis ignores the first training epoch, whose mean accuracy is far below the rest.
        lowest = min(min(one.curve) for models in measured.values() for one in models)
        accuracy.set_ylim(max(0.0, lowest - 0.01), 1.001)
        for axes, name in ((loss, "cross-entropy (nats)"), (accuracy, "accuracy")):
            axes.xaxis.get_major_locator().set_params(integer=True)
            name_axes(axes, "epoch", name)
        accuracy.legend(ncols=len(measured), loc="lower right")


def calibration(path: Path, measured: Measured) -> None:
    """Draw the share of right answers by predicted probability, with a line for each seed's model."""
    with drawing(path, width=6.5, height=5.5) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":", label="as it says")
        for (cell, models), colour, line in zip(measured.items(), cycle(COLOURS), cycle(LINES)):
            size, width = (6, 1.8) if len(models) == 1 else (3, 0.8)
            for one in models:
                points = np.array([(bin_.confidence, bin_.accuracy) for bin_ in shown(one.bins)]).reshape(-1, 2)
                label = cell if one is models[0] else None
                axes.plot(*points.T, line, marker="o", markersize=size, color=colour, linewidth=width, label=label)
        name_axes(axes, "probability of the answer", "share of right answers")
        axes.legend(loc="upper left")


def confusion_matrix(path: Path, matrix: NDArray[np.int64], title: str) -> None:
    """Draw counts by true class (rows) and predicted class (columns), shaded by the share of the true class."""
    with drawing(path, width=7, height=6.4) as figure:
        axes = figure.subplots()
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        # The colour scale ends at 2 % of a class: otherwise the diagonal would hide the mistakes.
        image = axes.imshow(shares * 100, cmap="Blues", vmin=0, vmax=2)
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.01 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=TICK - 2)
        digits = range(CLASSES)
        axes.set(title=title, xlabel="predicted digit", ylabel="true digit", xticks=digits, yticks=digits)
        figure.colorbar(image, extend="max", fraction=0.046, pad=0.04).set_label("% of the true class")
