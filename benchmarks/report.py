"""Tables and a figure of the results of `benchmarks.run` and `benchmarks.pipeline`."""

import statistics
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter

from accord.files import atomic_path
from benchmarks.machine import versions
from benchmarks.variants import PEAK_FLOP
from benchmarks.workload import PIXELS

COLOURS = {
    "fast": "#0072B2",
    "fast in fit": "#56B4E9",
    "keras": "#D55E00",
    "keras unrolled": "#E69F00",
    "pytorch": "#009E73",
}
SIZES = ("units", "steps", "batch")


def floor_seconds(one: dict[str, Any]) -> float:
    """Return the floor: the seconds that an epoch's matrix products take at the median peak rate of the same run."""
    peak_seconds: float = statistics.median(one["peak_seconds"])
    flop: int = one["flop"]
    return flop / PEAK_FLOP * peak_seconds


def table(results: dict[str, Any]) -> str:
    """Return the Markdown table that compares the variants of each cell."""
    lines = [versions(results["machine"]), ""]
    heads = [
        "cell",
        "variant",
        "seconds an epoch: median (least to most)",
        "examples/s",
        "times fast",
        "times the floor",
        "first step after",
        "most memory",
    ]
    lines += [f"| {' | '.join(heads)} |", "|---|---|---:|---:|---:|---:|---:|---:|"]
    for one in results["compared"]:
        lines += _rows(one)
    return "\n".join(lines) + "\n"


def _rows(one: dict[str, Any]) -> list[str]:
    cell, images, floor = one["workload"]["cell"], one["workload"]["images"], floor_seconds(one)
    fast = statistics.median(one["variants"]["fast"]["seconds"])
    rows = []
    for variant, figures in one["variants"].items():
        seconds = figures["seconds"]
        median = statistics.median(seconds)
        first = f"{figures['first_step_seconds']:.1f} s" if "first_step_seconds" in figures else ""
        rows.append(
            f"| {cell} | {variant} | {median:.2f} ({min(seconds):.2f} to {max(seconds):.2f}) | {images / median:,.0f} |"
            f" {median / fast:.2f} | {median / floor:.2f} | {first} | {figures['peak_mebibytes']:,.0f} MiB |"
        )
    peak = PEAK_FLOP / statistics.median(one["peak_seconds"]) / 1e9
    return [
        *rows,
        f"| {cell} | floor: {one['flop'] / 1e9:,.0f} GFLOP at {peak:.0f} GFLOP/s | {floor:.2f} | | | 1 | | |",
    ]


def scaling_table(results: dict[str, Any]) -> str:
    """Return the Markdown table of seconds an epoch by units, steps and batch size."""
    variants = list(results["scaling"][0]["variants"])
    lines = [
        f"| cell | units | steps x inputs | batch | {' | '.join(variants)} | fast: times the floor |",
        "|---|---:|---:|---:|" + "---:|" * (len(variants) + 1),
    ]
    for one in results["scaling"]:
        work = one["workload"]
        medians = [statistics.median(one["variants"][variant]["seconds"]) for variant in variants]
        lines.append(
            f"| {work['cell']} | {work['units']} | {work['steps']} x {PIXELS // work['steps']} | {work['batch']} | "
            f"{' | '.join(f'{median:.2f}' for median in medians)} | {medians[0] / floor_seconds(one):.2f} |"
        )
    return "\n".join(lines) + "\n"


def tables(results: dict[str, Any]) -> str:
    """Return the Markdown tables of the comparison and of the scaling."""
    images = results["scaling"][0]["workload"]["images"]
    return f"{table(results)}\nSeconds an epoch of {images:,} images:\n\n{scaling_table(results)}"


def pipeline_table(results: dict[str, Any]) -> str:
    """Return the Markdown table of the seconds of whole stages, divided into training and the rest."""
    heads = [
        "cell",
        "what runs",
        "seconds of the process: median (least to most)",
        "times the stage",
        f"training {results['epochs']} epochs",
        "the rest",
    ]
    lines = [versions(results["machine"]), "", f"| {' | '.join(heads)} |", "|---|---|---:|---:|---:|---:|"]
    for cell, sides in results["cells"].items():
        stage = statistics.median(run["seconds"] for run in next(iter(sides.values())))
        for side, runs in sides.items():
            seconds = [run["seconds"] for run in runs]
            trained = statistics.median(run["training_seconds"] for run in runs)
            rest = statistics.median(run["seconds"] - run["training_seconds"] for run in runs)
            median = statistics.median(seconds)
            lines.append(
                f"| {cell} | {side} | {median:.1f} ({min(seconds):.1f} to {max(seconds):.1f}) | {median / stage:.2f} |"
                f" {trained:.1f} | {rest:.1f} |"
            )
    return "\n".join(lines) + "\n"


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw the comparison and the scaling as a PNG file."""
    figure = Figure(figsize=(12, 8.2), layout="constrained")
    rows = figure.subplots(2, 3)
    for axes, one in zip(rows[0], results["compared"], strict=True):
        _bars(axes, one)
    for axes, varied in zip(rows[1], SIZES, strict=True):
        _scaling(axes, varied, results["scaling"])
    lines, names = rows[1][0].get_legend_handles_labels()
    figure.legend(
        lines, names, ncols=len(lines), fontsize=8, handlelength=3.2, columnspacing=1, loc="outside lower center"
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _bars(axes: Any, one: dict[str, Any]) -> None:
    """Draw a bar for each variant: its median seconds an epoch, a dot for each round, and a line at the floor."""
    for index, (variant, figures) in enumerate(one["variants"].items()):
        seconds = figures["seconds"]
        axes.barh(index, statistics.median(seconds), color=COLOURS[variant], alpha=0.7)
        axes.plot(seconds, [index] * len(seconds), "k.", markersize=3)
    axes.axvline(floor_seconds(one), color="black", linestyle="--", linewidth=1)
    axes.set_yticks(range(len(one["variants"])), one["variants"])
    axes.invert_yaxis()
    axes.set_title(one["workload"]["cell"])
    axes.set_xlabel("seconds an epoch; dashed: the floor")


def _scaling(axes: Any, varied: str, measured: list[dict[str, Any]]) -> None:
    """Draw the ratio of seconds to the floor over one size, a line for each cell and variant.

    Args:
        axes: Matplotlib axes to draw on.
        varied: Name of the size on the x axis, one of `SIZES`; the other sizes have their usual values.
        measured: Results of all workloads of the scaling.
    """
    for cell, style in (("rnn", ":"), ("lstm", "-"), ("gru", "--")):
        of_cell = [one for one in measured if one["workload"]["cell"] == cell]
        usual = {name: statistics.mode(one["workload"][name] for one in of_cell) for name in SIZES}
        others = [name for name in SIZES if name != varied]
        points = [one for one in of_cell if all(one["workload"][name] == usual[name] for name in others)]
        points.sort(key=lambda one: one["workload"][varied])
        values = [one["workload"][varied] for one in points]
        for variant in points[0]["variants"]:
            ratios = [statistics.median(one["variants"][variant]["seconds"]) / floor_seconds(one) for one in points]
            axes.plot(values, ratios, style, marker=".", color=COLOURS[variant], label=f"{variant} {cell}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(values, [str(value) for value in values])
    axes.minorticks_off()
    axes.set_xlabel(f"{varied} (otherwise {usual[varied]})")
    axes.set_ylabel("times the floor")
    axes.grid(alpha=0.3)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
