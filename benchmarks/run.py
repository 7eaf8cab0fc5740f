"""Time epochs of this project's layers, Keras's and PyTorch's: `python -m benchmarks.run [--quick]`.

Each variant of a workload has a process of its own. In each round one after another trains an epoch, while the others
wait: whatever slows the machine for a while then slows all of them. It takes under an hour, with --quick two minutes.
"""

import argparse
import dataclasses
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from accord.errors import UserError
from accord.files import write_json
from accord.process import run_command
from benchmarks import kept, report
from benchmarks.machine import machine, title
from benchmarks.variants import VARIANTS
from benchmarks.workload import Workload

QUICK = Path(__file__).parent / "quick.json"
CELLS = ("rnn", "lstm", "gru")
SCALING: dict[str, tuple[int, ...]] = {"units": (50, 150, 512), "steps": (28, 112, 784), "batch": (32, 150, 1024)}
SCALED = ("fast", "keras", "pytorch")
FEW = 5_500  # images: a tenth of the training images
PYTORCH_HINT = "PyTorch is not installed, so it is left out: run `pip install torch==2.13.0` to include it"


def main() -> None:
    """Run the benchmark, keep its results and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two minutes: a tenth of the images, no scaling")
    quick = parser.parse_args().quick
    if not _has_pytorch():
        print(PYTORCH_HINT, flush=True)
    results = quick_results() if quick else full_results()
    if quick:
        write_json(QUICK, results)
    else:
        kept.keep_layers(results)
    print(f"{title(results['machine'])}: {report.table(results)}")


def quick_results() -> dict[str, Any]:
    """Return the comparison on a tenth of the images, for the two cells of the pipeline."""
    compared = [compare(Workload(cell, images=FEW), SCALED, rounds=3) for cell in ("rnn", "lstm")]
    return {"machine": machine(), "compared": compared}


def full_results() -> dict[str, Any]:
    """Return the comparison of all cells and variants on all images, and the scaling on a tenth of them."""
    compared = [compare(Workload(cell), tuple(VARIANTS), rounds=5) for cell in CELLS]
    for one in compared:
        for variant, figures in one["variants"].items():
            batch = Workload(one["workload"]["cell"], images=one["workload"]["batch"])
            with start(variant, batch) as worker:
                figures["first_step_seconds"] = worker.set_up_seconds
    scaling = [compare(work, SCALED, rounds=3) for cell in CELLS for work in scaled(cell)]
    return {"machine": machine(), "compared": compared, "scaling": scaling}


def scaled(cell: str) -> list[Workload]:
    """Return the workloads of the scaling: one size varies at a time, the others are those of the pipeline."""
    works = [Workload(cell=cell, images=FEW, **{name: value}) for name, values in SCALING.items() for value in values]
    return list(dict.fromkeys(works))


def compare(work: Workload, variants: tuple[str, ...], rounds: int) -> dict[str, Any]:
    """Time an epoch of each variant in each round, in turn.

    Args:
        work: Workload that all variants train.
        variants: Names in `VARIANTS`. `pytorch` is skipped if PyTorch is not installed.
        rounds: Number of rounds.

    Returns:
        The workload, its floating-point operations (`flop`), the seconds of a matrix product in each round
        (`peak_seconds`), and each variant's seconds by round with its peak memory.
    """
    print(f"{work}", flush=True)
    names = [name for name in (*variants, "peak") if name != "pytorch" or _has_pytorch()]
    with ExitStack() as stack:
        workers = {name: stack.enter_context(start(name, work)) for name in dict.fromkeys(names)}
        for number in range(rounds):
            for worker in workers.values():
                worker.round()
            latest = ", ".join(
                f"{name} {worker.seconds[-1]:.2f} s" for name, worker in workers.items() if name != "peak"
            )
            print(f"  round {number + 1}/{rounds}: {latest}", flush=True)
        peak = workers.pop("peak")
        return {
            "workload": dataclasses.asdict(work),
            "flop": work.flop(),
            "peak_seconds": peak.seconds,
            "variants": {
                name: {"seconds": worker.seconds, "peak_mebibytes": worker.peak_mebibytes()}
                for name, worker in workers.items()
            },
        }


@contextmanager
def start(variant: str, work: Workload) -> Iterator["Worker"]:
    """Start a process that trains one variant and wait for its first epoch; kill it when the block ends."""
    command = [sys.executable, "-m", "benchmarks.worker", variant, json.dumps(dataclasses.asdict(work))]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
    ):
        try:
            yield Worker(variant, process, errors)
        finally:
            process.kill()


class Worker:
    """The client of a `benchmarks.worker` process, which trains one variant an epoch at a time."""

    def __init__(self, variant: str, process: "subprocess.Popen[str]", errors: IO[str]) -> None:
        self._variant, self._process, self._errors = variant, process, errors
        self.set_up_seconds = self._answer()["seconds"]
        self.seconds: list[float] = []

    def round(self) -> None:
        """Train one epoch and keep its seconds."""
        print("go", file=self._process.stdin, flush=True)
        self.seconds.append(self._answer()["seconds"])

    def peak_mebibytes(self) -> float:
        """Return the peak memory of the process in MiB."""
        print("memory", file=self._process.stdin, flush=True)
        return self._answer()["mebibytes"]

    def _answer(self) -> dict[str, float]:
        if self._process.stdout and (line := self._process.stdout.readline()):
            answer: dict[str, float] = json.loads(line)
            return answer
        self._errors.seek(0)
        *_, last = self._errors.read().splitlines() or ["no message"]
        raise UserError(f"the variant {self._variant!r} failed: {last}")


def _has_pytorch() -> bool:
    return importlib.util.find_spec("torch") is not None


if __name__ == "__main__":
    run_command(main)
