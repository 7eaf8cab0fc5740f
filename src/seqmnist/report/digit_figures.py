"""Figures of single digits: what cells believe while they read them, and those they are most wrong about."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seqmnist.config import View
from seqmnist.data.splits import CLASSES, SIZE
from seqmnist.measure.beliefs import GATES, READ
from seqmnist.measure.calibration import most_wrong
from seqmnist.measure.measures import Measured, Measures
from seqmnist.report.figures import LABEL, TICK, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_GATES = {"i": ("#009E73", "-"), "f": ("#CC79A7", "--"), "o": ("#E69F00", ":")}  # colour and line
_WRONG_DIGITS = 12


def beliefs(path: Path, measured: Measured, images: NDArray[np.uint8], view: View) -> None:
    """For each example digit what each cell believes while it reads, and the means of the LSTM's gates.

    Beside them the digit stands as it is read, from top to bottom; in permuted order there is no such picture.

    Args:
        path: of the PNG file.
        measured: by cell; the model of the first seed is drawn.
        images: the example digits, uint8 [n, 28, 28].
        view: how they are read.
    """
    images = images.swapaxes(1, 2) if view == "columns" else images
    models = {cell: seeds[0] for cell, seeds in measured.items()}
    gated = {cell: one for cell, one in models.items() if one.gates}
    columns = 1 + len(models) + len(gated)
    figure = new_figure(width=3.1 * columns, height=3.1 * len(images) + 1.6)
    figure.set_layout_engine("constrained")  # finds a place for the scale of colours below
    grid = figure.subplots(len(images), columns, squeeze=False)
    for row, image in enumerate(images):
        grid[row, 0].imshow(image, cmap="gray_r", aspect="auto")
        for column, (cell, one) in enumerate(models.items(), start=1):
            shades = _belief(grid[row, column], one.beliefs[row], f"{cell}: beliefs" if row == 0 else "")
        for column, (cell, one) in enumerate(gated.items(), start=1 + len(models)):
            _gates(grid[row, column], {name: gate[row] for name, gate in one.gates.items()}, cell, first=row == 0)
        grid[row, 0].set_xticks([])
        aligned = grid[row, 1] if view == "permuted_pixels" else grid[row, 0]
        aligned.set_ylabel(READ[view], fontsize=LABEL)
        if aligned is grid[row, 1]:
            grid[row, 0].set_yticks([])
            aligned.set_yticks(range(0, SIZE, 5))
        for axes in grid[row]:
            axes.tick_params(labelsize=TICK)
    grid[0, 0].set_title("digit", fontsize=LABEL)
    for axes in grid[-1, 1 : 1 + len(models)]:
        axes.set_xlabel("class", fontsize=LABEL)
    for axes in grid[-1, 1 + len(models) :]:
        axes.set_xlabel("mean over units", fontsize=LABEL)
    bar = figure.colorbar(shades, ax=grid[-1, 1 : 1 + len(models)].tolist(), location="bottom", aspect=40)
    bar.set_label("probability", fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)
    save_figure(figure, path)


def beliefs_alt(measured: Measured, digits: list[int]) -> str:
    """Describe the beliefs about some digits."""
    said = [
        f"{cell} ends at {', '.join(f'{last.argmax()} with {last.max():.0%}' for last in one.beliefs[:, -1])}"
        for cell, (one, *_) in measured.items()
    ]
    return f"What each cell believes while it reads the digits {', '.join(map(str, digits))}: {'; '.join(said)}."


def wrong_digits(path: Path, one: Measures, images: NDArray[np.uint8], labels: NDArray[np.uint8], cell: str) -> None:
    """The test digits that a model is wrong about with the highest probability."""
    chosen = most_wrong(one.probabilities, labels, _WRONG_DIGITS)
    figure = new_figure(width=9, height=4.6)
    for axes in figure.subplots(2, _WRONG_DIGITS // 2).flat:
        axes.set_axis_off()
    for axes, index in zip(figure.axes, chosen, strict=False):
        axes.imshow(images[index], cmap="gray_r")
        guess, share = int(one.predicted[index]), float(one.probabilities[index].max())
        axes.set_title(f"{labels[index]} taken for {guess}\n{share:.1%}", fontsize=TICK)
    figure.suptitle(f"{cell}: most certain mistakes", fontsize=LABEL)
    save_figure(figure, path)


def _belief(axes: "Axes", probabilities: NDArray[np.float32], title: str) -> "AxesImage":
    shades = axes.imshow(
        probabilities, cmap="viridis", vmin=0, vmax=1, aspect="auto", extent=(-0.5, CLASSES - 0.5, SIZE, 0)
    )
    axes.set_xticks(range(CLASSES))
    axes.set_yticks([])
    axes.set_title(title, fontsize=LABEL)
    return shades


def _gates(axes: "Axes", gates: Mapping[str, NDArray[np.float32]], cell: str, *, first: bool) -> None:
    rows = np.linspace(0, SIZE, len(next(iter(gates.values()))))
    for name, (colour, line) in _GATES.items():
        axes.plot(gates[name].mean(axis=1), rows, line, color=colour, label=GATES[name])
    axes.set_ylim(SIZE, 0)
    axes.set_xlim(0, 1)
    axes.set_yticks([])
    axes.grid(alpha=0.3)
    if first:
        axes.set_title(f"{cell}: gates", fontsize=LABEL)
        axes.legend(fontsize=TICK - 3, loc="lower left")  # gates of a trained cell are mostly open
