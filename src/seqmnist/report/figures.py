"""Figures of all cells, and what they show in words for those who do not see them.

PNG files in the notebook's manner: tight layout, labels 14, ticks 12, 300 dpi.
"""

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accord.files import atomic_path
from seqmnist.data.splits import CLASSES
from seqmnist.measure import memory
from seqmnist.measure.calibration import MIN_BIN_IMAGES, shown
from seqmnist.measure.measures import FLOW_DIGITS, Measured
from seqmnist.measure.metrics import spread
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
_SPLITS = {"train": (":", "training"), "val": ("-", "validation"), "test": ("--", "test")}

CALIBRATION_ALT = (
    f"Share of right answers by their probability, of {MIN_BIN_IMAGES} images and more; "
    "the expected calibration errors are in the table of them."
)


def learning_curves(path: Path, histories: Mapping[str, list[Row]]) -> None:
    """Loss and accuracy of all cells by epoch: means over seeds, with a thin line for each of several seeds."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    figure = new_figure(width=12, height=5)
    loss, accuracy = figure.subplots(1, 2)
    for (cell, rows), colour, marker in zip(histories.items(), cycle(COLOURS), cycle(MARKERS)):
        for axes, metric in ((loss, "loss"), (accuracy, "accuracy")):
            for split, (line, name) in _SPLITS.items():
                _curve(axes, rows, f"{split}.{metric}", line, color=colour, marker=marker, label=f"{cell} {name}")
    loss.set_yscale("log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    loss.yaxis.set_minor_locator(NullLocator())
    # The axis begins below all but the first training epoch, whose mean is far below the rest.
    lowest = min(row.metrics[VALIDATION_ACCURACY] for rows in histories.values() for row in rows)
    accuracy.set_ylim(max(0.0, lowest - 0.01), 1.001)
    for axes, name in ((loss, "cross-entropy (nats)"), (accuracy, "accuracy")):
        axes.xaxis.get_major_locator().set_params(integer=True)
        _label(axes, "epoch", name)
    accuracy.legend(fontsize=TICK, ncols=len(histories), loc="lower right")
    save_figure(figure, path)


def curves_alt(measured: Measured) -> str:
    """Describe the learning curves."""
    best = [f"{cell} reaches {max(max(one.curve) for one in models):.4f}" for cell, models in measured.items()]
    return f"Learning curves. In validation accuracy {', '.join(best)}."


def gradient_flow(path: Path, measured: Measured) -> None:
    """The spectral norm by the steps between the two states, at start and end of training: means over seeds."""
    figure = new_figure(width=9, height=5)
    axes = figure.subplots()
    for (cell, models), colour, marker in zip(measured.items(), cycle(COLOURS), cycle(MARKERS)):
        for when, line in (("start", ":"), ("end", "-")):
            norms = np.array([one.flow[when] for one in models])  # [seeds, steps]
            style = {"color": colour, "marker": marker, "markevery": max(1, norms.shape[1] // 10)}
            axes.plot(norms.mean(axis=0), line, label=f"{cell}, {when} of training", **style)
            if len(models) > 1:
                axes.plot(norms.T, line, color=colour, linewidth=0.5, alpha=0.5)
    axes.set_yscale("log")
    _label(axes, "steps between the two states", "spectral norm of the derivative")
    axes.legend(fontsize=TICK)
    save_figure(figure, path)


def flow_alt(measured: Measured) -> str:
    """Describe gradient flow."""
    said = [f"How strongly the last state depends on one some steps before, mean of {FLOW_DIGITS} validation digits."]
    for cell, models in measured.items():
        last = len(models[0].flow["end"]) - 1
        start, end = (float(np.mean([one.flow[when][-1] for one in models])) for when in ("start", "end"))
        said.append(f"{cell}: over {last} steps {start:.2g} at the start and {end:.2g} at the end of training.")
    return " ".join(said)


def rows_after(path: Path, measured: Measured) -> None:
    """Test accuracy by the rows that follow the digit: means over seeds, a point for each of several."""
    figure = new_figure(width=9, height=5)
    panels = figure.subplots(1, len(memory.KINDS), sharey=True)
    places = [0, *memory.EXTRA]
    for axes, kind in zip(panels, memory.KINDS, strict=True):
        for (cell, models), colour, line in zip(measured.items(), cycle(COLOURS), cycle(LINES)):
            values = np.array(
                [[one.test_accuracy, *(one.after[f"{kind} {k}"] for k in memory.EXTRA)] for one in models]
            )  # [seeds, places]
            axes.plot(places, values.mean(axis=0), line, color=colour, marker="o", linewidth=1.8, label=cell)
            if len(models) > 1:
                axes.plot(places, values.T, ".", color=colour, alpha=0.5)
        axes.axhline(0.1, color="black", linewidth=0.8, linestyle=":")
        axes.set_title(f"{kind} rows", fontsize=LABEL)
        axes.set_xticks(places)
        axes.set_ylim(0, 1.02)
        _label(axes, "rows after the digit", "test accuracy" if axes is panels[0] else "")
    panels[0].annotate(
        "guessing", (places[0], 0.1), xytext=(0, -14), textcoords="offset points", ha="left", fontsize=TICK
    )
    panels[-1].legend(fontsize=TICK, loc="upper right")
    save_figure(figure, path)


def after_alt(measured: Measured) -> str:
    """Describe the accuracies with rows after the digit."""
    said = ["Accuracy when blank or noise rows follow the digit."]
    for cell, models in measured.items():
        each = [f"{spread([one.after[name] for one in models])} after {name} rows" for name in models[0].after]
        said.append(f"{cell}: {', '.join(each)}.")
    return " ".join(said)


def calibration(path: Path, measured: Measured) -> None:
    """The share of right answers by the probability of the answer; the model of each seed a line."""
    figure = new_figure(width=6.5, height=5.5)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":", label="as it says")
    for (cell, models), colour, line in zip(measured.items(), cycle(COLOURS), cycle(LINES)):
        size, width = (6, 1.8) if len(models) == 1 else (3, 0.8)
        for one in models:
            points = np.array([(bin_.confidence, bin_.accuracy) for bin_ in shown(one.bins)]).reshape(-1, 2)
            label = cell if one is models[0] else None
            axes.plot(*points.T, line, marker="o", markersize=size, color=colour, linewidth=width, label=label)
    _label(axes, "probability of the answer", "share of right answers")
    axes.legend(fontsize=TICK, loc="upper left")
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


def _curve(axes: "Axes", rows: list[Row], metric: str, line: str, *, color: str, **mean: str) -> None:
    curves = np.array([[row.metrics[metric] for row in seed] for seed in by_seed(rows).values()])  # [seeds, epochs]
    if len(curves) > 1:
        axes.plot(curves.T, line, color=color, linewidth=0.5, alpha=0.5)
    axes.plot(curves.mean(axis=0), line, color=color, linewidth=1.8, markersize=4, **mean)  # type: ignore[arg-type]


def _label(axes: "Axes", x: str, y: str) -> None:
    """Name the axes of lines, and lay a grid below them."""
    axes.set_xlabel(x, fontsize=LABEL)
    axes.set_ylabel(y, fontsize=LABEL)
    axes.tick_params(labelsize=TICK)
    axes.grid(alpha=0.3)


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, of inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="tight")


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata={"Software": None})  # the same bytes each time
