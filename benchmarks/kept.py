"""Results kept by processor: `python -m benchmarks.kept` writes results.md and the figures again from the JSON files.

`benchmarks.run` writes results/<processor>.json, `benchmarks.pipeline` results/<processor>.pipeline.json.
"""

import json
from pathlib import Path
from typing import Any

from accord.files import write_json, write_text
from accord.process import run_command
from benchmarks import report
from benchmarks.machine import slug, title

FOLDER = Path(__file__).parent / "results"
_LAYERS, _PIPELINE = ".json", ".pipeline.json"


def main() -> None:
    """Write results.md and all figures again, from the JSON files."""
    for name in _names(FOLDER):
        if layers := _read(FOLDER, name, _LAYERS):
            report.draw(layers, FOLDER / f"{name}.png")
    write_page(FOLDER)


def keep_layers(results: dict[str, Any], folder: Path = FOLDER) -> None:
    """Replace the JSON file and the figure of a processor with the results of `benchmarks.run`; write results.md."""
    name = slug(results["machine"])
    write_json(folder / f"{name}{_LAYERS}", results)
    report.draw(results, folder / f"{name}.png")
    write_page(folder)


def keep_pipeline(results: dict[str, Any], folder: Path = FOLDER) -> None:
    """Replace the JSON file of a processor with the results of `benchmarks.pipeline`; write results.md."""
    write_json(folder / f"{slug(results['machine'])}{_PIPELINE}", results)
    write_page(folder)


def write_page(folder: Path) -> None:
    """Write the tables of all processors in a folder to results.md beside that folder."""
    sections = [_section(folder, name) for name in _names(folder)]
    write_text(folder.with_name("results.md"), "\n".join(["# Results by processor\n", *sections]))


def _section(folder: Path, name: str) -> str:
    """Return the Markdown of one processor: heading, tables and figure."""
    layers, pipeline = (_read(folder, name, kind) for kind in (_LAYERS, _PIPELINE))
    parts = [f"## {title((layers or pipeline)['machine'])}\n"]
    if layers:
        parts += [report.tables(layers), f"![Seconds an epoch, and the scaling]({folder.name}/{name}.png)\n"]
    if pipeline:
        parts.append(report.pipeline_table(pipeline))
    return "\n".join(parts)


def _names(folder: Path) -> list[str]:
    return sorted({path.name.partition(".")[0] for path in folder.glob("[!.]*.json")})


def _read(folder: Path, name: str, kind: str) -> dict[str, Any]:
    """Return one JSON file of a processor, {} if it is missing; `kind` is the end of its name."""
    path = folder / f"{name}{kind}"
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


if __name__ == "__main__":
    run_command(main)
