"""Measure how much time pruning or a second worker saves: `python -m benchmarks.search [seqmnist|workers]`.

Without an argument it measures pruning in the search of examples/digits, with `seqmnist` in that of this project.
With `workers` it compares two workers with one, in a search and in a grid of examples/digits. It uses a temporary
folder and a database of its own, and prints its results.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from accord.process import run_command
from accord.sweep.folders import Result
from benchmarks.machine import machine

ROOT = Path(__file__).parents[1]
SEARCHES = {  # by project: its folder, overrides of every search, and the seeds of its searches
    "digits": ("examples/digits", [], (1, 2, 3)),
    "seqmnist": (".", ["cell=lstm", "train.epochs=5"], (42,)),
}
GRID = ["model=sgd,mlp", "model.learning_rate=0.01,0.1"]


@dataclass(frozen=True)
class Outcome:
    """The cost and result of one sweep."""

    seconds: float
    epochs: int  # total over all trials
    best: float  # highest validation accuracy of a finished trial
    pruned: int  # number of pruned trials


def main() -> None:
    """Run the comparison named on the command line and print it."""
    name = sys.argv[1] if len(sys.argv) > 1 else "digits"
    project, values, seeds = SEARCHES["digits" if name == "workers" else name]
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(machine()), flush=True)
        search = ["search=optuna", *values]
        if name == "workers":
            sweep = partial(run, "digits", ROOT / project, Path(folder))
            few = [*search, "hydra.sweeper.n_trials=8", "hydra.sweeper.pruner=none"]
            searches = workers(lambda count: sweep([*few, f"hydra.sweeper.workers={count}"]))
            grids = workers(lambda count: sweep([*GRID, f"hydra.launcher.n_jobs={count}"]))
            print(f"two workers run {searches:.2f} (search) and {grids:.2f} (grid) times as many trials an hour as one")
            return
        outcomes = {}
        for seed in seeds:
            for pruner in ("none", "median"):
                own = [f"hydra.sweeper.pruner={pruner}", f"hydra.sweeper.seed={seed}"]
                outcomes[pruner, seed] = run(name, ROOT / project, Path(folder), [*search, *own])
        print(pruning_table(seeds, outcomes))


def workers(sweep: Callable[[int], Outcome], rounds: int = 3) -> float:
    """Return the speedup of two workers over one: the ratio of median seconds, over rounds in which both run in turn.

    Args:
        sweep: Function that runs the sweep with a number of workers.
        rounds: Number of rounds.
    """
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for count, measured in seconds.items():
            measured.append(sweep(count).seconds)
    print({count: [round(one) for one in measured] for count, measured in seconds.items()}, flush=True)
    return statistics.median(seconds[1]) / statistics.median(seconds[2])


def run(name: str, place: Path, folder: Path, overrides: Sequence[str]) -> Outcome:
    """Run a sweep to its end and return its outcome.

    Args:
        name: Package of the project.
        place: Folder of the project.
        folder: Folder for the sweep and the MLflow database.
        overrides: Hydra overrides of the sweep.
    """
    sweep = Path(tempfile.mkdtemp(dir=folder))
    command = [sys.executable, "-m", f"{name}.sweep", "-m", f"hydra.sweep.dir={sweep}", *overrides]
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    begin = time.perf_counter()
    subprocess.run(command, cwd=place, env=os.environ | store, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - begin
    results = [result for trial in sweep.glob("[0-9]*") if (result := Result.read(trial))]
    best = max(result.accuracy or 0 for result in results if result.status == "FINISHED")
    epochs = sum(len(result.curve) for result in results)
    outcome = Outcome(seconds, epochs, best, sum(result.status == "PRUNED" for result in results))
    print(*overrides, outcome, flush=True)
    return outcome


def pruning_table(seeds: Sequence[int], outcomes: dict[tuple[str, int], Outcome]) -> str:
    """Return the Markdown table that compares searches with and without pruning, a row for each seed."""
    lines = ["| seed | pruned | epochs | seconds | best without | best with |", "|---:|---:|---:|---:|---:|---:|"]
    for seed in seeds:
        without, pruned = outcomes["none", seed], outcomes["median", seed]
        epochs = f"{pruned.epochs} of {without.epochs}: {pruned.epochs / without.epochs:.2f}"
        seconds = f"{pruned.seconds:.0f} of {without.seconds:.0f}: {pruned.seconds / without.seconds:.2f}"
        lines.append(f"| {seed} | {pruned.pruned} | {epochs} | {seconds} | {without.best:.4f} | {pruned.best:.4f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
