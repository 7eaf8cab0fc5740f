"""Figures of memory: gradient flow over steps, and accuracy after blank or noise rows."""

from itertools import cycle
from pathlib import Path

import numpy as np

from seqmnist.measure.measures import Measured
from seqmnist.report.figures import COLOURS, LINES, MARKERS, TICK, drawing, name_axes, plot_seeds


def gradient_flow(path: Path, measured: Measured) -> None:
    """Draw gradient flow at start and end of training: spectral norm by steps between two states, mean over seeds."""
    with drawing(path, width=9, height=5) as figure:
        axes = figure.subplots()
        for (cell, models), colour, marker in zip(measured.items(), cycle(COLOURS), cycle(MARKERS)):
            for when, line in (("start", ":"), ("end", "-")):
                norms = np.array([one.flow[when] for one in models])  # [seeds, steps]
                style = {"marker": marker, "markevery": max(1, norms.shape[1] // 10)}
                plot_seeds(axes, norms, line, colour, label=f"{cell}, {when} of training", **style)
        axes.set_yscale("log")
        name_axes(axes, "steps between the two states", "spectral norm of the derivative")
        axes.legend()


def rows_after(path: Path, measured: Measured) -> None:
    """Draw test accuracy by number of rows after the digit: mean over seeds, with a point for each of several seeds."""
    first = next(iter(measured.values()))[0]
    kinds = list(dict.fromkeys(name.split()[0] for name in first.after))  # of rows
    with drawing(path, width=9, height=5) as figure:
        panels = figure.subplots(1, len(kinds), sharey=True)
        for axes, kind in zip(panels, kinds, strict=True):
            places = [0, *(int(name.split()[1]) for name in first.after if name.startswith(kind))]
            for (cell, models), colour, line in zip(measured.items(), cycle(COLOURS), cycle(LINES)):
                values = np.array(
                    [[one.test_accuracy, *(one.after[f"{kind} {k}"] for k in places[1:])] for one in models]
                )  # [seeds, places]
                axes.plot(places, values.mean(axis=0), line, color=colour, marker="o", linewidth=1.8, label=cell)
                if len(models) > 1:
                    axes.plot(places, values.T, ".", color=colour, alpha=0.5)
            axes.axhline(0.1, color="black", linewidth=0.8, linestyle=":")
            axes.set(title=f"{kind} rows", xticks=places, ylim=(0, 1.02))
            name_axes(axes, "rows after the digit", "test accuracy" if axes is panels[0] else "")
        panels[0].annotate("guessing", (0, 0.1), xytext=(0, -14), textcoords="offset points", ha="left", fontsize=TICK)
        panels[-1].legend(loc="upper right")
