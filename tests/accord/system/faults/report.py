"""The plan of the campaign and its results, written to docs/reliability.json and docs/reliability.md."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from accord.files import write_json, write_text

JSON, PAGE = Path("docs/reliability.json"), Path("docs/reliability.md")
OUTCOMES = ("recovered", "refused", "lost")
KILLS = {"compose": 10, "prepare": 10, "train@sgd": 10, "train@mlp": 20, "evaluate": 10, "sweep": 20, "search": 10}
KILLS_OF_CELLS = {"train@rnn": 10, "train@lstm": 10}  # trainings of seqmnist, whose weights must also be the same bits

# How many of each fault a whole campaign injects, in the table's order.
PLAN = {f"SIGKILL: {command}": count for command, count in {**KILLS, **KILLS_OF_CELLS}.items()} | {
    "full disk": 12,
    "folder made read-only": 6,
    "file made unreadable": 3,
    "damaged entry of DVC's cache": 6,
    "half-written file of DVC": 2,
    "damaged output": 10,
    "damaged checkpoint": 2,
    "damaged mlflow.db": 3,
    "mlflow.db locked by another process": 2,
    "two `dvc repro` at once": 3,
    "`dvc repro` beside `dvc exp run --temp`": 1,
    "clock set back": 2,
    "surroundings: variables": 14,
    "surroundings: streams": 4,
    "surroundings: addresses": 6,
    "surroundings: TensorFlow": 8,
}

_SURROUNDINGS = "surroundings: "

Outcome = Literal["recovered", "refused", "lost"]


@dataclass(frozen=True)
class Case:
    """Injected fault and its outcome.

    Attributes:
        fault: a key of `PLAN`.
        outcome: recovered: the same command gave the same bytes; refused: one line said what is wrong, and with the
            cause gone the same command gave the same bytes; lost: anything else.
        where: Place of the fault, and progress of the command.
    """

    fault: str
    outcome: Outcome
    where: str = ""


def summary(cases: Iterable[Case]) -> dict[str, dict[str, Any]]:
    """Count each fault in the plan's order: planned, injected, outcomes, and hits by process and phase."""
    cases = list(cases)
    counted = {}
    for fault in PLAN:
        own = [case for case in cases if case.fault == fault]
        outcomes = Counter[str](case.outcome for case in own)
        where = Counter(case.where for case in own if case.where)
        counted[fault] = {
            "planned": PLAN[fault],
            "injected": len(own),
            **{name: outcomes[name] for name in OUTCOMES},
            "where": dict(sorted(where.items())),
        }
        if fault.startswith(_SURROUNDINGS):
            counted[fault]["refusals"] = sorted(case.where for case in own if case.outcome == "refused")
    return counted


def table(results: dict[str, Any]) -> str:
    """Return the counts and their sums as a Markdown table."""
    faults = results["faults"]
    columns = ("planned", "injected", *OUTCOMES)
    lines = [f"| fault | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
    lines += [f"| {fault} | {' | '.join(str(one[name]) for name in columns)} |" for fault, one in faults.items()]
    sums = [str(sum(one[name] for one in faults.values())) for name in columns]
    return "\n".join([*lines, f"| **all** | {' | '.join(f'**{one}**' for one in sums)} |"]) + "\n"


def surroundings(results: dict[str, Any]) -> str:
    """Return a Markdown table of the tested surroundings: those without effect, and those refused by a line."""
    lines = ["| kind | without effect | refused in a line |", "| --- | --- | --- |"]
    for fault, one in results["faults"].items():
        if fault.startswith(_SURROUNDINGS):
            held = [f"`{where}`" for where in one["where"] if where not in one["refusals"]]
            refused = [f"`{where}`" for where in one["refusals"]]
            lines.append(f"| {fault.removeprefix(_SURROUNDINGS)} | {', '.join(held)} | {', '.join(refused)} |")
    return "\n".join(lines) + "\n"


def with_tables(text: str, results: dict[str, Any]) -> str:
    """Return a page whose tables between `<!-- faults: ... -->` and `<!-- end -->` are made from the results."""
    made_of = {"outcomes": table(results), "surroundings": surroundings(results)}
    for title, made in made_of.items():
        text = re.sub(rf"(<!-- faults: {title} -->\n).*?(<!-- end -->)", rf"\g<1>{made}\g<2>", text, flags=re.DOTALL)
    return text


def injected(root: Path) -> int:
    """Return the number of faults in the results below a folder; 0 where there are none."""
    path = root / JSON
    return sum(one["injected"] for one in json.loads(path.read_text())["faults"].values()) if path.exists() else 0


def write(root: Path, cases: Iterable[Case], minutes: float, cores: int) -> None:
    """Write docs/reliability.json and the tables of docs/reliability.md below a folder."""
    write_json(root / JSON, {"minutes": round(minutes, 1), "cores": cores, "faults": summary(cases)})
    page = root / PAGE
    write_text(page, with_tables(page.read_text(), json.loads((root / JSON).read_text())))
