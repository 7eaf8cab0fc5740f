"""A search that prunes running trials, and assertions that hold on every launcher of a cluster."""

from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

from accord.sweep.search.journal import NAME, open_journal

EPOCHS = 600  # many more than run before a trial learns that it is pruned
_WARM_UP = 30  # epochs in which the good trials classify all images correctly
# With this seed the learning rates of trials 0, 1 and 3 are near 0.01. Those of the others are below 0.00001.
PRUNED = (2, 4, 5)
SEARCH = (
    "search=optuna",
    "train.learning_rate=tag(log, interval(1e-6, 0.02))",
    "hydra.sweeper.seed=22549",
    "hydra.sweeper.sampler=random",
    "hydra.sweeper.n_startup_trials=2",
    f"hydra.sweeper.n_warmup_epochs={_WARM_UP}",
    "cell.units=8",
    "train.clip_norm=1.0",
    "train.schedule=constant",
    f"train.epochs={EPOCHS}",
)


def study(sweep: Path) -> list[FrozenTrial]:
    """Return the trials of the search in a folder as Optuna reads them."""
    return optuna.load_study(study_name=NAME, storage=open_journal(sweep)).trials


def comparable(trial: FrozenTrial) -> tuple[object, ...]:
    """Return all fields of a trial but its times."""
    return trial.number, trial.state, trial.params, trial.values, trial.intermediate_values


def assert_searched(
    sweep: Path, count: int, parent: Run, runs: Sequence[Run], epochs_of: Callable[[Run], list[int]]
) -> None:
    """Assert that a search has this many trials and pruned some, and that MLflow and Optuna agree.

    Args:
        sweep: Folder of the search on the driver's machine.
        count: Expected number of trials.
        parent: MLflow run of the search.
        runs: MLflow runs of the trials.
        epochs_of: Function that returns the epochs whose validation accuracy a run has, in the order of logging.
    """
    by_number = {int(run.data.tags["sweep.trial"]): run for run in runs}
    trials = study(sweep)
    assert len(runs) == count
    assert sorted(by_number) == [trial.number for trial in trials] == list(range(count))
    assert parent.info.status == "FINISHED"
    pruned = [trial.number for trial in trials if trial.state == TrialState.PRUNED]
    assert pruned == [number for number in PRUNED if number < count]
    for trial in trials:
        run = by_number[trial.number]
        epochs = epochs_of(run)
        assert run.info.status == "FINISHED", trial.number
        assert "error" not in run.data.tags, trial.number
        assert epochs == list(range(len(epochs))), "each epoch once"
        assert float(run.data.params["train.learning_rate"]) == trial.params["train.learning_rate"]
        if trial.number in pruned:
            last = max(trial.intermediate_values)
            assert run.data.tags["pruned"] == str(last)
            assert _WARM_UP <= last < len(epochs) < EPOCHS, "it was pruned while it ran"
        else:
            assert trial.state == TrialState.COMPLETE
            assert "pruned" not in run.data.tags
            assert len(epochs) == len(trial.intermediate_values) == EPOCHS
            assert trial.value == run.data.metrics["selected.val.accuracy"]
    whole = [run for number, run in by_number.items() if number not in pruned]
    best = max(run.data.metrics["selected.val.accuracy"] for run in whole)
    assert parent.data.metrics["best.val.accuracy"] == best
    assert parent.data.tags["best.run_id"] in {run.info.run_id for run in whole}
    assert parent.data.metrics["trials.pruned"] == len(pruned)
