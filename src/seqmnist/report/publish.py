"""Run an experiment and copy its results into docs: `python -m seqmnist.report.publish EXPERIMENT [REVISION]`.

`make evidence` and `make tuned` call it. With REVISION, the name or commit of a finished experiment, it only publishes.
docs/<experiment>.json gets the metrics, and the seconds from MLflow; docs/figures/<experiment> gets the figures. Tables
between the experiment's marks in pages of docs and in README.md are written anew from docs/<experiment>.json.
"""

import json
import re
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from accord import experiments
from accord.compose import changes, compose
from accord.errors import UserError
from accord.files import atomic_path, sha256_file
from accord.metric_names import SELECTED
from accord.paths import CONF, PARAMS
from accord.process import run_command, signals_waiting
from accord.settings import flatten, read_yaml
from seqmnist.config import Config, validate
from seqmnist.measure.claims import EFFECTS, NAMES
from seqmnist.measure.convergence import THRESHOLDS
from seqmnist.measure.metrics import cells_of, figures_of_seeds, spread
from seqmnist.metric_names import TEST_ACCURACY
from seqmnist.paths import METRICS, REPORTS

DOCS = Path("docs")
_PERCENTS = [f"{100 * threshold:.0f}" for threshold in THRESHOLDS]

Rows = list[list[Any]]


def main() -> None:
    """Run and publish the experiment named on the command line, or publish a finished one."""
    from seqmnist.runs.evaluation_run import epoch_seconds

    if len(sys.argv) not in {2, 3}:
        raise UserError("name an experiment: python -m seqmnist.report.publish EXPERIMENT [REVISION]")
    name, *revision = sys.argv[1:]
    marked_pages(name)
    setting = f"experiment={name}"
    _, values = compose(CONF, [setting])
    configuration = validate(values, f"{CONF} with {setting}")
    commit = experiments.resolve(*revision) if revision else experiments.run(name, setting)
    with tempfile.TemporaryDirectory() as folder:
        for path in (PARAMS, REPORTS):
            experiments.fetch(commit, str(path), Path(folder, path))
        if different := changes(values, read_yaml(Path(folder, PARAMS))):
            more = f" (and {len(different) - 1} more)" if different[1:] else ""
            raise UserError(f"commit {commit[:7]} is not of {CONF} with {setting}: {different[0]}{more}")
        check(configuration, Path(folder, METRICS))
        seconds = epoch_seconds(configuration.tracking, sha256_file(Path(folder, METRICS)))
        publish(name, Path(folder, REPORTS), seconds)


def check(configuration: Config, metrics: Path) -> None:
    """Check that metrics have the cells and seeds of a configuration.

    Raises:
        UserError: One line names what differs.
    """
    measured = {cell: list(part["seeds"]) for cell, part in cells_of(json.loads(metrics.read_text("utf-8"))).items()}
    expected = {cell: [str(seed) for seed in configuration.seeds] for cell in configuration.cells}
    if measured != expected:
        one, other = (json.dumps(each).translate({ord('"'): None}) for each in (measured, expected))
        raise UserError(f"{METRICS} is of the cells and seeds {one}, the experiment is of {other}: run it again")


def publish(name: str, reports: Path, seconds: dict[str, dict[str, list[float]]]) -> None:
    """Copy metrics and figures from a folder of reports, and rewrite the tables. If it fails, docs are unchanged.

    Args:
        name: Name of the experiment, and of its marks in pages.
        reports: Folder of reports that the stage evaluate wrote.
        seconds: Seconds of each epoch of the trainings, by cell and seed.
    """
    measured = {"metrics": json.loads((reports / METRICS.name).read_text("utf-8")), "epoch_seconds": seconds}
    figures = DOCS / "figures" / name
    pages = marked_pages(name)
    contents = {page: filled(page.read_text("utf-8"), name, tables(measured)).encode() for page in pages}
    contents |= {figures / figure.name: figure.read_bytes() for figure in (reports / "figures").glob("*.png")}
    contents[DOCS / f"{name}.json"] = (json.dumps(measured, indent=2, allow_nan=False) + "\n").encode()
    if folders := [path for path in contents if path.is_dir()]:
        raise UserError(f"{folders[0]} is a folder where a file is to be written: remove it")
    with signals_waiting():
        with ExitStack() as written:  # all files are written before the first one gets its name
            for path, content in contents.items():
                written.enter_context(atomic_path(path)).write_bytes(content)
        for old in set(figures.glob("*.png")).difference(contents):  # figures of a removed cell
            old.unlink()
    print(f"wrote {DOCS / name}.json, {figures} and the tables in {' and '.join(map(str, pages))}")


def marked_pages(name: str) -> list[Path]:
    """Return the pages that have tables of an experiment. Raise a `UserError` if no page in docs has any."""
    every = (*sorted(DOCS.glob("*.md")), Path("README.md"))
    pages = [page for page in every if f"<!-- {name}: " in page.read_text("utf-8")]
    if not any(DOCS in page.parents for page in pages):
        raise UserError(f"no page in {DOCS} has a mark such as <!-- {name}: claims -->: write first what {name} is")
    return pages


def filled(text: str, name: str, tables: dict[str, str]) -> str:
    """Return a page's text with new tables between its marks `<!-- name: table -->` and `<!-- end -->`."""
    for title, table in tables.items():
        escaped = table.replace("\\", "\\\\")
        text = re.sub(rf"(<!-- {name}: {title} -->\n).*?(<!-- end -->)", rf"\g<1>{escaped}\g<2>", text, flags=re.DOTALL)
    return text


def tables(measured: dict[str, Any]) -> dict[str, str]:
    """Return the tables as Markdown, by the names of their marks."""
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
    values = {cell: figures_of_seeds(part, SELECTED + TEST_ACCURACY) for cell, part in cells.items()}
    rows: Rows = [
        [cell, f"**{spread(each)}**", ", ".join(f"{value:.4f}" for value in each)] for cell, each in values.items()
    ]
    return markdown(["cell", "test accuracy", "of each seed"], rows)


def _cells(cells: dict[str, Any]) -> str:
    lines = {
        "test accuracy": SELECTED + TEST_ACCURACY,
        "test loss (nats)": f"{SELECTED}test.loss",
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
    rows: Rows = [
        [cell, *(_between(part["seeds"], percent, epoch_seconds.get(cell, {})) for percent in _PERCENTS)]
        for cell, part in cells.items()
    ]
    return markdown(["cell", *(f"to {percent} %" for percent in _PERCENTS)], rows)


def _between(seeds: dict[str, Any], percent: str, seconds: dict[str, list[float]]) -> str:
    """Return the seconds to an accuracy: median, smallest and largest of the seeds that reached it."""
    epochs = {seed: one["convergence"].get(f"epochs_to_{percent}") for seed, one in seeds.items()}
    reached = {seed: count for seed, count in epochs.items() if count}
    if not reached:
        return "never"
    if not set(reached) <= set(seconds):
        return "MLflow has no times"
    taken = [sum(seconds[seed][:count]) for seed, count in reached.items()]
    text = f"{median(taken):.1f} s ({min(taken):.1f} to {max(taken):.1f})"
    return text if len(reached) == len(seeds) else f"{text}, {len(reached)} of {len(seeds)} seeds"


def _seeds(cells: dict[str, Any]) -> str:
    """Return each seed's values that the claims are tested on, and its epochs to reach accuracies."""
    keys = {
        "test accuracy": SELECTED + TEST_ACCURACY,
        "mean validation accuracy": "convergence.area",
        "mean accuracy after rows": "after.mean",
        **{f"epochs to {percent} %": f"convergence.epochs_to_{percent}" for percent in _PERCENTS},
    }
    rows: Rows = [
        [cell, seed, *(_value(flatten(one).get(key)) for key in keys.values())]
        for cell, part in cells.items()
        for seed, one in part["seeds"].items()
    ]
    return markdown(["cell", "seed", *keys], rows)


def _value(value: float | None) -> str:
    if value is None:
        return "never"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def markdown(head: list[str], rows: Rows) -> str:
    """Return a table as Markdown. The first column has text, the others have numbers."""
    lines: Rows = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    run_command(main)
