"""The picture of a model's graph that a train run keeps in MLflow, drawn without Graphviz's program."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from accord.surroundings import default_style

if TYPE_CHECKING:
    import keras

    from accord.tracking.runs import Run

Point = tuple[float, float]

_FOLDER = "graph"  # of the run's artifacts; it holds the picture alone
_BOX, _GAP = 1.0, 0.8  # heights, in the unit of both axes
_WIDTH = 10.0
_SHOWN_STEPS = 3  # before the dots
_LAYER, _CELL = "#DCE9F5", "#FBE3D0"


def log_graph(run: "Run", model: "keras.Model") -> None:
    """Log a picture of a model's graph, unless the run has one."""

    def log() -> None:
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder, "model.png")
            draw(model, picture)
            run.artifact(picture, _FOLDER)

    run.once(_FOLDER, log)


def draw(model: "keras.Model", path: Path) -> None:
    """Draw a model whose operations follow one another, the input below, a recurrent layer unrolled over its steps.

    Args:
        model: Model of Keras's layers and operations and at most one of `seqmnist.cells.layers`.
        path: Path of the PNG file.
    """
    height = len(model.operations) * (_BOX + _GAP)
    with default_style():
        figure = Figure(figsize=(_WIDTH, height * 0.7), layout="tight")
        axes = figure.subplots()
        axes.set_xlim(0, _WIDTH)
        axes.set_ylim(0, height)
        axes.set_axis_off()
        _draw_operations(axes, model)
        figure.savefig(path, dpi=150)


def _draw_operations(axes: Axes, model: "keras.Model") -> None:
    """Draw the model's operations one above the other, with an arrow to each from the one below."""
    below: Point | None = None
    for level, operation in enumerate(model.operations):
        bottom = level * (_BOX + _GAP) + _GAP / 2
        one = _unrolled if hasattr(operation, "recurrent_kernel") else _plain
        entries, above = one(axes, operation, bottom)
        for entry in entries:
            if below:
                _arrow(axes, below, entry)
        below = above


def _plain(axes: Axes, operation: "keras.Operation", bottom: float) -> tuple[list[Point], Point]:
    """Draw a box; return the points where arrows come in, and the point where one leaves."""
    text = f"{operation.name}: {type(operation).__name__}\n{_output(operation)}"
    _box(axes, (_WIDTH - 5) / 2, bottom, 5, text, _LAYER)
    return [(_WIDTH / 2, bottom)], (_WIDTH / 2, bottom + _BOX)


def _unrolled(axes: Axes, layer: "keras.Layer", bottom: float) -> tuple[list[Point], Point]:
    """Draw a row of boxes: the first steps, dots, the last step, with arrows that carry the states."""
    steps = layer.input.shape[1]
    shown = [str(step) for step in range(min(_SHOWN_STEPS, steps))]
    labels = [*shown, "...", str(steps - 1)] if steps > _SHOWN_STEPS else shown
    pitch, middle = _WIDTH / len(labels), bottom + _BOX / 2
    entries = []
    for index, label in enumerate(labels):
        left, centre = (index + 1 / 8) * pitch, (index + 1 / 2) * pitch
        if label == "...":
            axes.text(centre, middle, label, ha="center", va="center", fontsize=20)
        else:
            _box(axes, left, bottom, pitch * 3 / 4, f"{type(layer).__name__}\nstep {label}: x({label})", _CELL)
            entries.append((centre, bottom))
        if index:
            _arrow(axes, (left - pitch / 4, middle), (left, middle))
            carried = "h, c" if layer.state_count == 2 else "h"
            axes.text(left - pitch / 8, middle + 0.08, carried, ha="center", va="bottom", fontsize=9)
    note = f"{layer.name}: {layer.units} units, the same weights in all {steps} steps\n{_output(layer)}"
    axes.text(pitch / 8, bottom + _BOX + 0.1, note, va="bottom", fontsize=10)
    return entries, (centre, bottom + _BOX)


def _box(axes: Axes, left: float, bottom: float, width: float, text: str, colour: str) -> None:
    style = "round,pad=0,rounding_size=0.1"
    axes.add_patch(FancyBboxPatch((left, bottom), width, _BOX, boxstyle=style, facecolor=colour, edgecolor="black"))
    axes.text(left + width / 2, bottom + _BOX / 2, text, ha="center", va="center", fontsize=10)


def _arrow(axes: Axes, start: Point, end: Point) -> None:
    axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "->", "linewidth": 1.5})


def _output(operation: "keras.Operation") -> str:
    """Return type and shape of an operation's output, and how many weights it has."""
    tensor = operation.output
    count = sum(weight.shape.num_elements() for weight in getattr(operation, "trainable_variables", []))
    shape = ", ".join("n" if size is None else str(size) for size in tensor.shape)
    return f"{tensor.dtype} [{shape}]" + (f", {count:,} weights" if count else "")
