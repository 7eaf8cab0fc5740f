"""Carry what an experiment showed into docs: `python -m seqmnist.publish EXPERIMENT REPORTS`.

`make evidence` and `make tuned` call it. docs/<experiment>.json gets the metrics and what MLflow knows of seconds,
docs/figures/<experiment> the figures, and the tables between marks in docs/<experiment>.md and README.md are written
anew from docs/<experiment>.json.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from statistics import median
from typing import Any

from seqmnist import config
from seqmnist.config import flatten
from seqmnist.errors import UserError, run_command
from seqmnist.evidence.claims import EFFECTS, NAMES
from seqmnist.evidence.convergence import THRESHOLDS
from seqmnist.evidence.metrics import cells_of, figures_of_seeds, spread
from seqmnist.files import atomic_path, sha256_file, write_json, write_text
from seqmnist.paths import given

DOCS = Path("docs")

Rows = list[list[Any]]


def main() -> None:
    """Publish the reports in the folder that the command line names."""
    from seqmnist.tracking.times import epoch_seconds

    match sys.argv[1:]:
        case [name, _] if not (DOCS / f"{name}.md").is_file():
            raise UserError(f"{DOCS / name}.md is missing: the first name must be that of a page")
        case [name, reports] if (metrics := given(reports) / "metrics.json").is_file():
            publish(name, metrics.parent, epoch_seconds(config.load().tracking, sha256_file(metrics)))
        case [_, reports]:
            raise UserError(f"{reports} has no metrics.json: name a folder of reports")
        case _:
            raise UserError("name an experiment and one folder: python -m seqmnist.publish EXPERIMENT REPORTS")


def publish(name: str, reports: Path, seconds: dict[str, dict[str, list[float]]]) -> None:
    """Copy metrics and figures from a folder of reports, and write the tables anew.

    Args:
        name: of the experiment, and of its page in docs.
        reports: as evaluate makes it.
        seconds: of each epoch of the trainings, by cell and seed.
    """
    measured = {"metrics": json.loads((reports / "metrics.json").read_text()), "epoch_seconds": seconds}
    write_json(DOCS / f"{name}.json", measured)
    figures = DOCS / "figures" / name
    shutil.rmtree(figures, ignore_errors=True)  # those of a cell that is no longer there
    for figure in sorted((reports / "figures").glob("*.png")):
        with atomic_path(figures / figure.name) as temporary:
            shutil.copyfile(figure, temporary)
    pages = (DOCS / f"{name}.md", Path("README.md"))
    for page in pages:
        write_text(page, with_tables(page.read_text(), name, measured))
    print(f"wrote {DOCS / name}.json, {figures} and the tables in {' and '.join(map(str, pages))}")


def with_tables(text: str, name: str, measured: dict[str, Any]) -> str:
    """A page with the tables between its marks made of docs/<name>.json."""
    return filled(text, name, tables(measured))


def filled(text: str, name: str, tables: dict[str, str]) -> str:
    """A page with tables between its marks `<!-- name: table -->` and `<!-- end -->`."""
    for title, table in tables.items():
        escaped = table.replace("\\", "\\\\")
        text = re.sub(rf"(<!-- {name}: {title} -->\n).*?(<!-- end -->)", rf"\g<1>{escaped}\g<2>", text, flags=re.DOTALL)
    return text


def tables(measured: dict[str, Any]) -> dict[str, str]:
    """The tables by the names of their marks, as Markdown."""
    metrics = measured["metrics"]
    cells = cells_of(metrics)
    return {
        "claims": _claims(metrics["claims"]),
        "accuracies": _accuracies(cells),
        "cells": _cells(cells),
        "seconds": _seconds(cells, measured["epoch_seconds"]),
        "seeds": _seeds(cells),
    }


def _claims(claims: dict[str, dict[str, Any]]) -> str:
    rows: Rows = []
    for name, one in claims.items():
        low, high = one["interval"]
        interval = f"{low:+.4f} to {high:+.4f} ({one['confidence']:.0%})" if one["confidence"] else "–"
        p = "–" if one["p"] is None else f"{one['p']:.3f}"
        measured = f"{NAMES[name]} ({EFFECTS[name]})"
        rows.append([measured, f"**{one['verdict']}**", f"{one['effect']:+.4f}", interval, p, one["n"]])
    return markdown(["claim (measured by)", "verdict", "effect", "interval", "p", "n"], rows)


def _accuracies(cells: dict[str, Any]) -> str:
    accuracies = {cell: figures_of_seeds(part, "selected.test.accuracy") for cell, part in cells.items()}
    rows: Rows = [
        [cell, f"**{spread(values)}**", ", ".join(f"{value:.4f}" for value in values)]
        for cell, values in accuracies.items()
    ]
    return markdown(["cell", "test accuracy", "of each seed"], rows)


def _cells(cells: dict[str, Any]) -> str:
    lines = {
        "test accuracy": "selected.test.accuracy",
        "test loss (nats)": "selected.test.loss",
        "mean validation accuracy over the epochs": "convergence.area",
        "accuracy after 28 blank rows": "after.blank_28",
        "accuracy after 112 blank rows": "after.blank_112",
        "accuracy after 28 rows of noise": "after.noise_28",
        "accuracy after 112 rows of noise": "after.noise_112",
        "gradient flow over the whole sequence, start of training": "flow.start",
        "gradient flow over the whole sequence, end of training": "flow.end",
    }
    rows: Rows = [
        [name, *(spread(figures_of_seeds(part, key)) for part in cells.values())] for name, key in lines.items()
    ]
    return markdown(["", *cells], rows)


def _seconds(cells: dict[str, Any], epoch_seconds: dict[str, dict[str, list[float]]]) -> str:
    """Training seconds until accuracies were first reached: median, smallest and largest of the seeds that did."""
    rows: Rows = []
    for cell, part in cells.items():
        line = [cell]
        for percent in _percents():
            epochs = {seed: one["convergence"].get(f"epochs_to_{percent}") for seed, one in part["seeds"].items()}
            reached = {seed: count for seed, count in epochs.items() if count}
            line.append(_between(reached, epoch_seconds.get(cell, {}), len(epochs)))
        rows.append(line)
    return markdown(["cell", *(f"to {percent} %" for percent in _percents())], rows)


def _between(reached: dict[str, int], seconds: dict[str, list[float]], seeds: int) -> str:
    """Of so many seeds those that reached an accuracy, by the epochs it took them."""
    if not reached:
        return "never"
    if not set(reached) <= set(seconds):
        return "MLflow has no times"
    taken = [sum(seconds[seed][:epochs]) for seed, epochs in reached.items()]
    text = f"{median(taken):.1f} s ({min(taken):.1f} to {max(taken):.1f})"
    return text if len(reached) == seeds else f"{text}, {len(reached)} of {seeds} seeds"


def _seeds(cells: dict[str, Any]) -> str:
    """Every single value that a claim rests on, and the epochs to accuracies."""
    keys = {
        "test accuracy": "selected.test.accuracy",
        "mean validation accuracy": "convergence.area",
        "mean accuracy after rows": "after.mean",
        **{f"epochs to {percent} %": f"convergence.epochs_to_{percent}" for percent in _percents()},
    }
    rows: Rows = [
        [cell, seed, *(_value(flatten(one), key) for key in keys.values())]
        for cell, part in cells.items()
        for seed, one in part["seeds"].items()
    ]
    return markdown(["cell", "seed", *keys], rows)


def _percents() -> list[str]:
    return [f"{100 * threshold:.0f}" for threshold in THRESHOLDS]


def _value(figures: dict[str, float], key: str) -> str:
    value = figures.get(key)
    if value is None:
        return "never"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def markdown(head: list[str], rows: Rows) -> str:
    """A table; the first column is of text, the others are of numbers."""
    lines: Rows = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    run_command(main)
