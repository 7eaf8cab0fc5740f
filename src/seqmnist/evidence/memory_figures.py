"""Figures on what cells remember."""

from pathlib import Path

import numpy as np

from seqmnist.evidence import memory
from seqmnist.evidence.figures import COLOURS, LABEL, LINES, MARKERS, TICK, new_figure, save_figure
from seqmnist.evidence.measures import Measured


def gradient_flow(path: Path, measured: Measured) -> None:
    """The spectral norm by the steps between the two states, at start and end of training: means over seeds."""
    figure = new_figure(width=9, height=5)
    axes = figure.subplots()
    for index, (cell, models) in enumerate(measured.items()):
        for when, line in (("start", ":"), ("end", "-")):
            norms = np.array([one.flow[when] for one in models])  # [seeds, steps]
            label = f"{cell}, {when} of training"
            marker, every = MARKERS[index % len(MARKERS)], max(1, norms.shape[1] // 10)
            axes.plot(
                norms.mean(axis=0),
                line,
                color=COLOURS[index % len(COLOURS)],
                marker=marker,
                markevery=every,
                label=label,
            )
            if len(models) > 1:
                axes.plot(norms.T, line, color=COLOURS[index % len(COLOURS)], linewidth=0.5, alpha=0.5)
    axes.set_yscale("log")
    axes.set_xlabel("steps between the two states", fontsize=LABEL)
    axes.set_ylabel("spectral norm of the derivative", fontsize=LABEL)
    axes.tick_params(labelsize=TICK)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=TICK)
    save_figure(figure, path)


def rows_after(path: Path, measured: Measured) -> None:
    """Test accuracy by the rows that follow the digit: means over seeds, a point for each of several."""
    figure = new_figure(width=9, height=5)
    panels = figure.subplots(1, len(memory.KINDS), sharey=True)
    places = [0, *memory.EXTRA]
    for axes, kind in zip(panels, memory.KINDS, strict=True):
        for index, (cell, models) in enumerate(measured.items()):
            values = np.array(
                [[one.test_accuracy, *(one.after[f"{kind} {k}"] for k in memory.EXTRA)] for one in models]
            )
            style = LINES[index % len(LINES)]
            axes.plot(
                places,
                values.mean(axis=0),
                style,
                color=COLOURS[index % len(COLOURS)],
                marker="o",
                linewidth=1.8,
                label=cell,
            )
            if len(models) > 1:
                axes.plot(places, values.T, ".", color=COLOURS[index % len(COLOURS)], alpha=0.5)
        axes.axhline(0.1, color="black", linewidth=0.8, linestyle=":")
        axes.set_title(f"{kind} rows", fontsize=LABEL)
        axes.set_xlabel("rows after the digit", fontsize=LABEL)
        axes.set_xticks(places)
        axes.set_ylim(0, 1.02)
        axes.tick_params(labelsize=TICK)
        axes.grid(alpha=0.3)
    panels[0].annotate(
        "guessing", (places[0], 0.1), xytext=(0, -14), textcoords="offset points", ha="left", fontsize=TICK
    )
    panels[0].set_ylabel("test accuracy", fontsize=LABEL)
    panels[-1].legend(fontsize=TICK, loc="upper right")
    save_figure(figure, path)
