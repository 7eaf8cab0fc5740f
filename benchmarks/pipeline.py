"""Time the stage train against the same stage written with Keras's parts: `python -m benchmarks.pipeline`.

Each training is a whole command in its own process. It reads the real images and logs to an MLflow database, in a
clone of this repository. `benchmarks.keras_stage` is the stage with Keras's parts.
"""

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from accord.errors import UserError
from accord.paths import PARAMS
from accord.process import run_command
from benchmarks import kept, report
from benchmarks.machine import machine, title
from seqmnist.data import splits
from seqmnist.paths import PROCESSED

ROOT = Path(__file__).parents[1]
CELLS = ("rnn", "lstm")
SIDES = {"the stage": "seqmnist.stages.train", "Keras's layers in fit": "benchmarks.keras_stage"}
OWN = {  # environment variables for the commands of both sides
    "KERAS_BACKEND": "tensorflow",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
    "PYTHONPATH": "src",
}


def main() -> None:
    """Run the benchmark and print a table; keep the results only if the recipe's number of epochs was trained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, help="epochs instead of the recipe's; results are then not kept")
    parser.add_argument("--rounds", type=int, default=3, help="trainings for each side and cell (default: 3)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        epochs = clone(Path(folder), arguments.epochs)
        cells = measure(Path(folder), arguments.rounds)
    results: dict[str, Any] = {"machine": machine(), "epochs": epochs, "cells": cells}
    if arguments.epochs is None:
        kept.keep_pipeline(results)
    print(f"{title(results['machine'])}: {report.pipeline_table(results)}")


def clone(target: Path, epochs: int | None, **settings: Any) -> int:
    """Clone this repository, uncommitted code and images included; return the number of epochs in its params.yaml.

    Args:
        target: Empty folder for the clone.
        epochs: Number of epochs that replaces the recipe's, if given.
        settings: Values that replace top-level keys of params.yaml.

    Raises:
        UserError: Images are missing or damaged.
    """
    splits.load_all(ROOT / PROCESSED)  # only for its checks
    subprocess.run(["git", "clone", "--quiet", ROOT, target], check=True)
    for folder in ("benchmarks", "src", PROCESSED):
        shutil.copytree(ROOT / folder, target / folder, dirs_exist_ok=True)
    values = yaml.safe_load((target / PARAMS).read_text("utf-8")) | settings
    values["train"]["epochs"] = epochs or values["train"]["epochs"]
    (target / PARAMS).write_text(yaml.safe_dump(values, sort_keys=False), "utf-8")
    return int(values["train"]["epochs"])


def measure(repository: Path, rounds: int) -> dict[str, Any]:
    """Train both cells on both sides, in turn; return what `train` measured, by cell and side."""
    train(repository, SIDES["the stage"], CELLS[0])  # not measured: it makes mlflow.db and fills the disk cache
    cells: dict[str, dict[str, list[dict[str, float]]]] = {cell: {side: [] for side in SIDES} for cell in CELLS}
    for number in range(rounds):
        for cell, sides in cells.items():
            for side, runs in sides.items():
                runs.append(train(repository, SIDES[side], cell))
                print(f"round {number + 1}/{rounds}: {cell}, {side} {runs[-1]['seconds']:.1f} s", flush=True)
    return cells


def train(repository: Path, module: str, cell: str) -> dict[str, float]:
    """Run the command of one side and time it.

    Returns:
        `seconds` of the whole process, and `training_seconds`, which the run logged for its epochs.

    Raises:
        UserError: The command failed.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
    command = [sys.executable, "-m", module, cell]
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=repository, env=inherited | OWN, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        *_, last = done.stderr.splitlines() or ["no message"]
        raise UserError(f"{module} {cell} failed: {last}")
    return {"seconds": seconds, "training_seconds": logged_seconds(repository)}


def logged_seconds(repository: Path) -> float:
    """Return the training seconds of the newest run in mlflow.db, added over its epochs."""
    query = (
        "SELECT sum(value) FROM metrics WHERE key = 'time.epoch_seconds'"
        " AND run_uuid = (SELECT run_uuid FROM runs ORDER BY start_time DESC LIMIT 1)"
    )
    with closing(sqlite3.connect(repository / "mlflow.db")) as store:  # MLflow's client takes a second to import
        (seconds,) = store.execute(query).fetchone()
    return float(seconds)


if __name__ == "__main__":
    run_command(main)
