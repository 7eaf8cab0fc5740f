"""Measure: `python -m benchmarks.run` (under an hour) or `python -m benchmarks.run --quick` (two minutes).

Variants of one workload run in processes of their own that stay up; in each round one after another trains an epoch,
while the others wait. So whatever slows the machine for a while slows all of them.
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
FEW = 5_500  # images where a tenth of the data is enough
PYTORCH_HINT = "PyTorch is not installed and left out; `pip install torch==2.13.0` brings it in"


def main() -> None:
    """Measure what the command line asks for and report it."""
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
    """Epochs of a tenth of the images, for the two cells of the pipeline."""
    compared = [compare(Workload(cell, images=FEW), SCALED, rounds=3) for cell in ("rnn", "lstm")]
    return {"machine": machine(), "compared": compared}


def full_results() -> dict[str, Any]:
    """Whole epochs of all cells and variants, then the scaling on a tenth of the images."""
    compared = [compare(Workload(cell), tuple(VARIANTS), rounds=5) for cell in CELLS]
    for one in compared:
        for variant, figures in one["variants"].items():
            batch = Workload(one["workload"]["cell"], images=one["workload"]["batch"])
            with start(variant, batch) as worker:
                figures["first_step_seconds"] = worker.set_up_seconds
    scaling = [compare(work, SCALED, rounds=3) for cell in CELLS for work in scaled(cell)]
    return {"machine": machine(), "compared": compared, "scaling": scaling}


def scaled(cell: str) -> list[Workload]:
    """One size varied at a time, the others as the pipeline has them; the pipeline's own once."""
    works = [Workload(cell=cell, images=FEW, **{name: value}) for name, values in SCALING.items() for value in values]
    return list(dict.fromkeys(works))


def compare(work: Workload, variants: tuple[str, ...], rounds: int) -> dict[str, Any]:
    """Seconds an epoch of each variant in each round, in turn; the matrix products' peak among them."""
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
    """Start a process that trains one variant, wait for the end of its first epoch, and end it with the block."""
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
    """Speaks with the process that trains one variant, an epoch at a time."""

    def __init__(self, variant: str, process: "subprocess.Popen[str]", errors: IO[str]) -> None:
        self._variant, self._process, self._errors = variant, process, errors
        self.set_up_seconds = self._answer()["seconds"]
        self.seconds: list[float] = []

    def round(self) -> None:
        """Train one epoch."""
        print("go", file=self._process.stdin, flush=True)
        self.seconds.append(self._answer()["seconds"])

    def peak_mebibytes(self) -> float:
        """The most memory that the process had."""
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
