"""Carry the evidence into docs: `python -m seqmnist.publish REPORTS`, by `make evidence`.

docs/evidence.json gets the metrics, docs/figures/evidence the figures, and the tables between marks in docs/evidence.md
and README.md are written anew from the metrics.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from seqmnist.config import flatten
from seqmnist.errors import UserError, run_command
from seqmnist.evidence.claims import EFFECTS, NAMES
from seqmnist.evidence.convergence import THRESHOLDS
from seqmnist.evidence.metrics import figures_of_seeds, spread
from seqmnist.files import write_json, write_text

DOCS = Path("docs")
EVIDENCE = DOCS / "evidence.json"
FIGURES = DOCS / "figures" / "evidence"
PAGES = (DOCS / "evidence.md", Path("README.md"))


def main() -> None:
    """Publish the reports in the folder that the command line names."""
    match sys.argv[1:]:
        case [reports]:
            publish(Path(reports))
        case _:
            raise UserError("name one folder: python -m seqmnist.publish REPORTS")


def publish(reports: Path) -> None:
    """Copy metrics and figures from a folder of reports, and write the tables anew."""
    metrics = json.loads((reports / "metrics.json").read_text())
    write_json(EVIDENCE, metrics)
    FIGURES.mkdir(parents=True, exist_ok=True)
    for figure in sorted((reports / "figures").glob("*.png")):
        shutil.copyfile(figure, FIGURES / figure.name)
    for page in PAGES:
        write_text(page, with_tables(page.read_text(), metrics))


def with_tables(text: str, metrics: dict[str, Any]) -> str:
    """A page with the tables between its marks `<!-- name -->` and `<!-- end -->` made of the metrics."""
    for name, table in tables(metrics).items():
        escaped = table.replace("\\", "\\\\")
        text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", rf"\g<1>{escaped}\g<2>", text, flags=re.DOTALL)
    return text


def tables(metrics: dict[str, Any]) -> dict[str, str]:
    """The tables by the names of their marks, as Markdown."""
    cells = {cell: part for cell, part in metrics.items() if cell != "claims"}
    return {"claims": _claims(metrics["claims"]), "cells": _cells(cells), "seeds": _seeds(cells)}


def _claims(claims: dict[str, dict[str, Any]]) -> str:
    rows = []
    for name, one in claims.items():
        low, high = one["interval"]
        p = "–" if one["p"] is None else f"{one['p']:.3f}"
        interval = f"{low:+.4f} to {high:+.4f} ({one['confidence']:.0%})"
        rows.append(
            [
                f"{NAMES[name]} ({EFFECTS[name]})",
                f"**{one['verdict']}**",
                f"{one['effect']:+.4f}",
                interval,
                p,
                one["n"],
            ]
        )
    return _markdown(["claim (measured by)", "verdict", "effect", "interval", "p", "n"], rows)


def _cells(cells: dict[str, Any]) -> str:
    lines = {
        "test accuracy": "selected.test.accuracy",
        "test loss (nats)": "selected.test.loss",
        "mean validation accuracy over the epochs": "convergence.area",
        "accuracy after 28 blank rows": "after.blank_28",
        "accuracy after 112 blank rows": "after.blank_112",
        "accuracy after 28 rows of noise": "after.noise_28",
        "accuracy after 112 rows of noise": "after.noise_112",
        "gradient flow over 27 steps, start of training": "flow.start",
        "gradient flow over 27 steps, end of training": "flow.end",
    }
    rows = [[name, *(spread(figures_of_seeds(part, key)) for part in cells.values())] for name, key in lines.items()]
    return _markdown(["", *cells], rows)


def _seeds(cells: dict[str, Any]) -> str:
    """Every single value that a claim rests on, and the epochs to accuracies."""
    keys = {
        "test accuracy": "selected.test.accuracy",
        "mean validation accuracy": "convergence.area",
        "mean accuracy after rows": "after.mean",
        **{
            f"epochs to {100 * threshold:.0f} %": f"convergence.epochs_to_{100 * threshold:.0f}"
            for threshold in THRESHOLDS
        },
    }
    rows = [
        [cell, seed, *(_value(flatten(one), key) for key in keys.values())]
        for cell, part in cells.items()
        for seed, one in part["seeds"].items()
    ]
    return _markdown(["cell", "seed", *keys], rows)


def _value(figures: dict[str, float], key: str) -> str:
    value = figures.get(key)
    if value is None:
        return "never"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _markdown(head: list[Any], rows: list[list[Any]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    run_command(main)
