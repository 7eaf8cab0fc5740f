"""Measure what pruning and a second worker win in a search, in turn: `python -m benchmarks.search [seqmnist|workers]`.

It searches as examples/digits or this project does, in a folder and a store of its own, and prints tables in Markdown.
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
SEARCHES = {  # the project's folder, what all trials of its search have, and seeds of searches
    "digits": ("examples/digits", [], (1, 2, 3)),
    "seqmnist": (".", ["cell=lstm", "train.epochs=5"], (42,)),
}
GRID = ["model=sgd,mlp", "model.learning_rate=0.01,0.1"]


@dataclass(frozen=True)
class Outcome:
    """What a sweep came to."""

    seconds: float
    epochs: int  # that all trials trained
    best: float  # the project's metric
    pruned: int  # trials


def main() -> None:
    """Compare with and without pruning by each seed; or one worker with two, in a search and in a grid of digits."""
    name = sys.argv[1] if len(sys.argv) > 1 else "digits"
    place, values, seeds = SEARCHES["digits" if name == "workers" else name]
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(machine()), flush=True)
        search = ["search=optuna", *values]
        if name == "workers":
            sweep = partial(run, "digits", ROOT / place, Path(folder))
            few = [*search, "hydra.sweeper.n_trials=8", "hydra.sweeper.pruner=none"]
            searches = workers(lambda count: sweep([*few, f"hydra.sweeper.workers={count}"]))
            grids = workers(lambda count: sweep([*GRID, f"hydra.launcher.n_jobs={count}"]))
            print(f"two workers run {searches:.2f} (search), {grids:.2f} (grid) times as many trials an hour as one")
            return
        outcomes = {}
        for seed in seeds:
            for pruner in ("none", "median"):
                own = [f"hydra.sweeper.pruner={pruner}", f"hydra.sweeper.seed={seed}"]
                outcomes[pruner, seed] = run(name, ROOT / place, Path(folder), [*search, *own])
        print(pruning_table(seeds, outcomes))


def workers(sweep: Callable[[int], Outcome], rounds: int = 3) -> float:
    """Return how many times as fast two workers are as one, by the medians of rounds in which both run in turn."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for count, measured in seconds.items():
            measured.append(sweep(count).seconds)
    print({count: [round(one) for one in measured] for count, measured in seconds.items()}, flush=True)
    return statistics.median(seconds[1]) / statistics.median(seconds[2])


def run(name: str, place: Path, folder: Path, overrides: Sequence[str]) -> Outcome:
    """Run a sweep of a project to its end."""
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
    """Return a row for each seed: with pruning against without."""
    lines = ["| seed | pruned | epochs | seconds | best without | best with |", "|---:|---:|---:|---:|---:|---:|"]
    for seed in seeds:
        without, pruned = outcomes["none", seed], outcomes["median", seed]
        epochs = f"{pruned.epochs} of {without.epochs}: {pruned.epochs / without.epochs:.2f}"
        seconds = f"{pruned.seconds:.0f} of {without.seconds:.0f}: {pruned.seconds / without.seconds:.2f}"
        lines.append(f"| {seed} | {pruned.pruned} | {epochs} | {seconds} | {without.best:.4f} | {pruned.best:.4f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
