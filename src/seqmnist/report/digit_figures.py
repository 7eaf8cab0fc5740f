"""Figures of single digits: class probabilities while cells read them, and the most confident mistakes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seqmnist.config import View
from seqmnist.data.splits import CLASSES, SIZE, Split
from seqmnist.measure.beliefs import GATES, READ
from seqmnist.measure.calibration import most_wrong
from seqmnist.measure.measures import Measured, Measures
from seqmnist.report.figures import TICK, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GATES = {"i": ("#009E73", "-"), "f": ("#CC79A7", "--"), "o": ("#E69F00", ":")}  # gate -> colour, line style
_WRONG_DIGITS = 12


def beliefs(path: Path, measured: Measured, images: NDArray[np.uint8], view: View) -> None:
    """Draw each cell's class probabilities at every step of the example digits, and the means of the LSTM's gates.

    The digit is drawn beside them in reading order, from top to bottom. For permuted pixels it has no reading order.

    Args:
        path: Path of the PNG file.
        measured: Measures of each cell's models. Only the first seed is drawn.
        images: Example digits, uint8 [n, 28, 28].
        view: Order in which the cells read the pixels.
    """
    images = images.swapaxes(1, 2) if view == "columns" else images
    models = {cell: seeds[0] for cell, seeds in measured.items()}
    gated = {cell: one for cell, one in models.items() if one.gates}
    columns = 1 + len(models) + len(gated)
    with drawing(path, width=3.1 * columns, height=3.1 * len(images) + 1.6) as figure:
        figure.set_layout_engine("constrained")  # makes room for the colour bar below
        grid = figure.subplots(len(images), columns, squeeze=False)
        believing, gating = slice(1, 1 + len(models)), slice(1 + len(models), None)  # columns
        for row, (image, (digit, *others)) in enumerate(zip(images, grid, strict=True)):
            digit.imshow(image, cmap="gray_r", aspect="auto")
            digit.set_xticks([])
            for axes, one in zip(grid[row, believing], models.values(), strict=True):
                extent = (-0.5, CLASSES - 0.5, SIZE, 0)
                shades = axes.imshow(one.beliefs[row], cmap="viridis", vmin=0, vmax=1, aspect="auto", extent=extent)
                axes.set(xticks=range(CLASSES), yticks=[])
            for axes, one in zip(grid[row, gating], gated.values(), strict=True):
                _draw_gates(axes, {name: gate[row] for name, gate in one.gates.items()})
            if view == "permuted_pixels":
                digit.set_yticks([])
                others[0].set(ylabel=READ[view], yticks=range(0, SIZE, 5))
            else:
                digit.set_ylabel(READ[view])
        titles = ["digit", *(f"{cell}: beliefs" for cell in models), *(f"{cell}: gates" for cell in gated)]
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title)
        for axes in grid[-1, believing]:
            axes.set_xlabel("class")
        for axes in grid[-1, gating]:
            axes.set_xlabel("mean over units")
        for axes in grid[0, gating]:
            axes.legend(
                fontsize=TICK - 3, loc="lower left"
            )  # this corner is mostly empty: trained gates are mostly open
        bar = figure.colorbar(shades, ax=grid[-1, believing].tolist(), location="bottom", aspect=40)
        bar.set_label("probability")


def _draw_gates(axes: "Axes", gates: dict[str, NDArray[np.float32]]) -> None:
    """Draw the mean over units of each gate [steps, units] from top to bottom."""
    for name, (colour, line) in _GATES.items():
        rows = np.linspace(0, SIZE, len(gates[name]))
        axes.plot(gates[name].mean(axis=1), rows, line, color=colour, label=GATES[name])
    axes.set(xlim=(0, 1), ylim=(SIZE, 0), yticks=[])
    axes.grid(alpha=0.3)


def wrong_digits(path: Path, one: Measures, test: Split, cell: str) -> None:
    """Draw the test digits that a model misclassifies with the highest probability."""
    chosen = most_wrong(one.probabilities, test.labels, _WRONG_DIGITS)
    with drawing(path, width=9, height=4.6) as figure:
        for axes in figure.subplots(2, _WRONG_DIGITS // 2).flat:
            axes.set_axis_off()
        for axes, index in zip(figure.axes, chosen, strict=False):
            axes.imshow(test.images[index], cmap="gray_r")
            share = f"{one.probabilities[index].max():.1%}"
            axes.set_title(f"{test.labels[index]} taken for {one.predicted[index]}\n{share}", fontsize=TICK)
        figure.suptitle(f"{cell}: most certain mistakes")
