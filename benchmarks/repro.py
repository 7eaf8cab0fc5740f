"""Profile `make repro`, stage by stage: `python -m benchmarks.repro [REVISION]`.

py-spy samples the call stack of each process's main thread a hundred times a second, in a fresh clone. It slows the
pipeline by a tenth. Only this benchmark needs it: `pip install py-spy`.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from accord.errors import UserError
from accord.process import run_command
from benchmarks.machine import machine, title

ROOT = Path(__file__).parents[1]
RATE = 100  # samples a second
COMMANDS = ("-m seqmnist check --quick --repair", "-m dvc repro", "-m seqmnist sync")
# Parts of the time, each with a pattern. A stack counts for the first part whose pattern it matches.
PARTS = {
    "imports": r"importlib",
    "training": r"TrainingGraph\.run ",
    "scoring": r"Trainer\._scores |ScoringGraph\.logits ",
    "tracing": r"TrainingGraph\.__init__ |ScoringGraph\.__init__ ",
    "gradient flow": r"gradient_flow",
    "rows after a digit": r"accurac(y|ies)_after ",
    "figures, page": r"seqmnist/report/",
    "MLflow": r"\(mlflow/|\(accord/tracking/",
    "download": r"seqmnist/data/sources",
    "reading, writing": r"seqmnist/data/|accord/checkpoints|cells/saved",
}
ENDS = "start and end"  # Python starts or ends: its stack has no calls
OTHER = "all else"
WAITS = re.compile(r"subprocess\.py|selectors\.py")
PROCESS = re.compile(r'^process \d+:"\S*python\S* (.*)"$')


def main() -> None:
    """Profile a revision, by default HEAD, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revision", nargs="?", default="HEAD", help="Git revision to profile (default: HEAD)")
    revision = parser.parse_args().revision
    if not (profiler := shutil.which("py-spy")):
        raise UserError("py-spy is not installed: run `pip install py-spy`")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        subprocess.run(["git", "checkout", "--quiet", revision], cwd=folder, check=True)
        found: dict[str, Counter[str]] = {}
        for command in COMMANDS:
            samples = Path(folder, "samples")
            options = ["record", "--idle", "--subprocesses", "--threads", "--format", "raw", "--rate", str(RATE)]
            options += ["--output", str(samples), "--", sys.executable, *command.split()]
            environment = os.environ | {"PYTHONPATH": "src"}
            subprocess.run([profiler, *options], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
            count(command, samples.read_text("utf-8").splitlines(), found)
    print(title(machine()), table(found), sep="\n\n")


def count(command: str, stacks: list[str], found: dict[str, Counter[str]]) -> None:
    """Count the samples of a command by process and part.

    Args:
        command: Arguments of the Python command that was profiled.
        stacks: Lines `frame;frame;... samples`, the outermost frame first. Each process that the command started has
            a frame with its own command.
        found: Number of samples by process and part. The counts are added to it.
    """
    for line in stacks:
        stack, _, samples = line.rpartition(" ")
        frames = [f'process 0:"python {command}"', *stack.split(";")]
        start = max(index for index, frame in enumerate(frames) if PROCESS.match(frame))
        process, (thread, *calls) = PROCESS.sub(r"\1", frames[start]), frames[start + 1 :]
        text = ";".join(calls)
        if "MainThread" not in thread or WAITS.search(text):  # it waits for another process, which has its own samples
            continue
        part = next((name for name, words in PARTS.items() if re.search(words, text)), OTHER if text else ENDS)
        found.setdefault(process.removeprefix("-m ").partition(" --")[0], Counter())[part] += int(samples)


def table(found: dict[str, Counter[str]]) -> str:
    """Return the Markdown table of seconds by process and part."""
    parts = [name for name in (ENDS, *PARTS, OTHER) if any(one[name] for one in found.values())]
    rows = [["", *parts, "all"], ["---", *["---:"] * (len(parts) + 1)]]
    for process, one in (found | {"all": sum(found.values(), Counter[str]())}).items():
        seconds = [one[name] / RATE for name in parts]
        rows.append([process, *(f"{value:.1f}" if value >= 0.05 else "" for value in seconds), f"{sum(seconds):.1f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    run_command(main)
