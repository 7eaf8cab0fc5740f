"""Simulated searches in this process, where a trial's training is a list of metrics, one per epoch."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from accord.checkpoints import _sealed
from accord.files import sha256_file
from accord.sweep.folders import CHECKPOINTS, Pruning, Result
from accord.sweep.search import samplers, study
from accord.sweep.search.settings import SearchSettings
from accord.sweep.search.spaces import parse
from accord.sweep.search.study import Search

METRIC = "val.accuracy"
SPACES = ("train.rate=tag(log, interval(1e-4, 1))", "train.units=range(8, 65, 8)", "cell=lstm,gru")

Curve = Sequence[float]
Training = Callable[[FrozenTrial], Curve]  # the metric of each epoch of a trial


def search(sweep: Path, spaces: Sequence[str] = SPACES, **settings: Any) -> Search:
    """Check a search and open it in a folder."""
    given, parsed = SearchSettings(**{"n_startup_trials": 2, "n_warmup_epochs": 0, **settings}), parse(spaces)
    samplers.check(given, parsed)
    study.check(sweep, given, parsed)
    return Search(sweep, given, parsed)


def prepare(sweep: Path, found: Search, number: int) -> Path:
    """Make a trial's folder, as its job does before the training."""
    folder = sweep / str(number)
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_text("\n".join(found.overrides(number)))
    return folder


def add_epochs(folder: Path, curve: Curve, key: str = "key") -> None:
    """Append finished epochs to a trial's checkpoints."""
    path = folder / CHECKPOINTS / "a cell" / key / "metrics.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        epochs = path.read_bytes().count(b"\n")
        for number, value in enumerate(curve, epochs + 1):
            metrics = {METRIC: value, "val.loss": 1 - value}
            file.write(_sealed({"epochs": number, "run_id": "", "metrics": metrics, "files": {}}))


def end(folder: Path, curve: Curve) -> None:
    """Write the result of a finished training and remove its checkpoints."""
    best = max((value for value in curve if not math.isnan(value)), default=None)
    epoch = None if best is None else list(curve).index(best)
    stored = [None if math.isnan(value) else value for value in curve]
    Result("FINISHED", sha256_file(folder / "params.yaml"), best, epoch, curve=stored).write(folder)
    for path in (folder / CHECKPOINTS).rglob("*.jsonl"):
        path.unlink()


def end_pruned(folder: Path, epoch: int, curve: Curve) -> None:
    """Write the result of a pruned training."""
    stored = [None if math.isnan(value) else value for value in curve]
    Result("PRUNED", sha256_file(folder / "params.yaml"), None, epoch, curve=stored).write(folder)


def run(sweep: Path, found: Search, number: int, curve: Curve) -> None:
    """Train a trial to its end or until it is pruned, while its search looks at each epoch."""
    folder = prepare(sweep, found, number)
    for epoch, value in enumerate(curve):
        add_epochs(folder, [value])
        found.look(number)
        if pruning := Pruning.read(folder):
            assert pruning.epoch == epoch
            end_pruned(folder, epoch, curve[: epoch + 1])
            break
    else:
        end(folder, curve)
    found.tell(number)


def go_on(sweep: Path, found: Search, training: Training) -> None:
    """Run the remaining trials of a search, one after another."""
    for number in found.unfinished():
        run(sweep, found, number, training(found.trials[number]))
    while len(found.trials) < found.n_trials:
        number = found.ask()
        run(sweep, found, number, training(found.trials[number]))


def smooth(trial: FrozenTrial) -> list[float]:
    """Return a curve of four epochs that is best with a rate of 0.01 and many units."""
    distance = abs(math.log10(trial.params["train.rate"]) + 2)
    height = 1 - distance / 4 + trial.params["train.units"] / 1000
    return [height * (1 - 0.5**epoch) for epoch in (1, 2, 3, 4)]


def comparable(found: Search) -> list[tuple[object, ...]]:
    """Return all fields of the trials but their times."""
    return [(one.number, one.state, one.params, one.values, one.intermediate_values) for one in found.trials]
