"""Figures as PNG files in the notebook's manner: tight layout, labels 14, ticks 12, 300 dpi."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seqmnist.data.splits import CLASSES
from seqmnist.files import atomic_path
from seqmnist.metric_names import VALIDATION_ACCURACY
from seqmnist.training.history import Row, by_seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL, TICK, DPI = 14, 12, 300
# Okabe and Ito's colours, told apart by the colour-blind; each cell has the same one everywhere.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "osD^v"  # of what colours alone would tell apart
LINES = ("-", "--", "-.", ":")  # of cells where a line has no other meaning: told apart without colours
_LINES = {"train": (":", "training"), "val": ("-", "validation"), "test": ("--", "test")}


def learning_curves(path: Path, histories: Mapping[str, list[Row]]) -> None:
    """Loss and accuracy of all cells by epoch: means over seeds, with a thin line for each of several seeds."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    figure = new_figure(width=12, height=5)
    loss, accuracy = figure.subplots(1, 2)
    for index, (cell, rows) in enumerate(histories.items()):
        for axes, metric in ((loss, "loss"), (accuracy, "accuracy")):
            for split in _LINES:
                _curve(axes, rows, f"{split}.{metric}", cell, index)
    loss.set_yscale("log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    loss.yaxis.set_minor_locator(NullLocator())
    loss.set_ylabel("cross-entropy (nats)", fontsize=LABEL)
    accuracy.set_ylabel("accuracy", fontsize=LABEL)
    accuracy.set_ylim(_lowest_shown(histories), 1.001)
    for axes in (loss, accuracy):
        axes.set_xlabel("epoch", fontsize=LABEL)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.tick_params(labelsize=TICK)
        axes.grid(alpha=0.3)
    accuracy.legend(fontsize=TICK, ncols=len(histories), loc="lower right")
    save_figure(figure, path)


def confusion_matrix(path: Path, matrix: NDArray[np.int64], title: str) -> None:
    """Counts by true class (rows) and predicted class (columns), shaded by the share of the true class."""
    figure = new_figure(width=7, height=6.4)
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # The diagonal would drown the mistakes: shades end at 2 % of a class.
    image = axes.imshow(shares * 100, cmap="Blues", vmin=0, vmax=2)
    for row, column in np.ndindex(CLASSES, CLASSES):
        dark = shares[row, column] > 0.01
        text = str(matrix[row, column])
        axes.text(column, row, text, ha="center", va="center", color="white" if dark else "black", fontsize=TICK - 2)
    axes.set_title(title, fontsize=LABEL)
    axes.set_xlabel("predicted digit", fontsize=LABEL)
    axes.set_ylabel("true digit", fontsize=LABEL)
    axes.set_xticks(range(CLASSES))
    axes.set_yticks(range(CLASSES))
    axes.tick_params(labelsize=TICK)
    bar = figure.colorbar(image, extend="max", fraction=0.046, pad=0.04)
    bar.set_label("% of the true class", fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)
    save_figure(figure, path)


def _curve(axes: "Axes", rows: list[Row], metric: str, cell: str, index: int) -> None:
    colour = COLOURS[index % len(COLOURS)]
    style, split = _LINES[metric.partition(".")[0]]
    curves = np.array([[row.metrics[metric] for row in seed] for seed in by_seed(rows).values()])  # [seeds, epochs]
    epochs = np.arange(curves.shape[1])
    if len(curves) > 1:
        axes.plot(epochs, curves.T, style, color=colour, linewidth=0.5, alpha=0.5)
    mean, marker = curves.mean(axis=0), MARKERS[index % len(MARKERS)]
    axes.plot(epochs, mean, style, color=colour, linewidth=1.8, marker=marker, markersize=4, label=f"{cell} {split}")


def _lowest_shown(histories: Mapping[str, list[Row]]) -> float:
    """Where the accuracy axis begins: below all but the first training epoch, whose mean is far below the rest."""
    shown = [row.metrics[VALIDATION_ACCURACY] for rows in histories.values() for row in rows]
    return max(0.0, min(shown) - 0.01)


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, of inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="tight")


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata={"Software": None})  # the same bytes each time
