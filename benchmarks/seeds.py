"""Time seeds trained side by side against seeds trained in turn: `python -m benchmarks.seeds [--epochs N]`.

Each measurement is the whole command of the stage train with four seeds. One worker with all cores alternates with a
worker for each core. Both train with two shards a batch, the usual number, and with one.
"""

import argparse
import statistics
import tempfile
from itertools import product
from pathlib import Path

import yaml

from accord.cores import share
from accord.paths import PARAMS
from accord.process import run_command
from benchmarks.machine import machine, title
from benchmarks.pipeline import CELLS, SIDES, clone, train

SEEDS = [42, 43, 44, 45]


def main() -> None:
    """Run the benchmark and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3, help="epochs of each training (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="trainings with each number of workers (default: 3)")
    arguments = parser.parse_args()
    many = share(jobs=len(SEEDS)).workers
    print(f"{title(machine())}, {len(SEEDS)} seeds of {arguments.epochs} epochs, medians of {arguments.rounds} rounds")
    print(
        f"| cell | shards | seconds in turn | {many} side by side | times as fast |\n|---|---:|---:|---:|---:|",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        clone(Path(folder), arguments.epochs, seeds=SEEDS)
        for cell, shards in product(CELLS, (2, 1)):
            seconds: dict[int, list[float]] = {1: [], many: []}
            for _ in range(arguments.rounds):
                for workers, measured in seconds.items():
                    settings(Path(folder, PARAMS), cell, shards, workers)
                    measured.append(train(Path(folder), SIDES["the stage"], cell)["seconds"])
            one, several = (statistics.median(measured) for measured in seconds.values())
            print(f"| {cell} | {shards} | {one:.1f} | {several:.1f} | {one / several:.2f} |", flush=True)


def settings(path: Path, cell: str, shards: int, workers: int) -> None:
    """Set the number of shards of a cell and the number of workers in params.yaml."""
    values = yaml.safe_load(path.read_text("utf-8")) | {"workers": workers}
    values["cells"][cell]["shards"] = shards
    path.write_text(yaml.safe_dump(values, sort_keys=False), "utf-8")


if __name__ == "__main__":
    run_command(main)
