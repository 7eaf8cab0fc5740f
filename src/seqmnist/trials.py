"""Trials of a sweep as this project has them: pipelines of one cell and one seed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accord.errors import UserError
from accord.paths import CONF, PARAMS
from accord.settings import flatten
from accord.sweep.folders import CHECKPOINTS
from accord.sweep.names import key_of
from seqmnist import config
from seqmnist.config import Config, validate
from seqmnist.data import splits
from seqmnist.paths import history_file
from seqmnist.report.sweep_figures import draw
from seqmnist.runs import stage_runs

if TYPE_CHECKING:
    from accord.tracking.runs import RunRequest
    from seqmnist.training.setup import Training


sweep_figures = draw


def run_tags(values: dict[str, Any]) -> dict[str, str]:
    """Return the tags of every run with these values of params.yaml.

    Raises:
        UserError: They are no valid configuration.
    """
    return stage_runs.data_tags(validate(values, str(PARAMS)).data)


def trial_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's configuration as that of a pipeline with one cell and one seed."""
    cell = values["cell"]
    pipeline = {
        "data": values["data"],
        "sequence": values["sequence"],
        "cells": {str(cell["type"]): cell},
        "train": values["train"],
        "tracking": values["tracking"],
        "seeds": [values["seed"]],
    }
    added = {key: value for key, value in values.items() if key not in {"cell", "seed"}}
    return pipeline | added  # nothing new, or keys that the schema refuses


def ineffective(values: Mapping[str, Any], overrides: Sequence[str], searched: Iterable[str] = ()) -> str | None:
    """Return what is wrong with a trial that sets a value of `train` which its cell replaces; None if nothing.

    Args:
        values: Plain values of the composed trial.
        overrides: Overrides of the command line.
        searched: Values of conf/search; one that an override of the cell replaces has no effect on purpose.
    """
    own, given = values["cell"].get("train") or {}, {key_of(override) for override in overrides}
    for override in [*(one for one in searched if f"cell.{key_of(one)}" not in given), *overrides]:
        group, _, name = key_of(override).partition(".")
        if group == "train" and name in own:
            cell, value = values["cell"]["type"], override.partition("=")[2]
            return f"train.{name} = {value} has no effect on {cell}, whose own train has it: set cell.train.{name}"
    return None


def train(request: "RunRequest", inputs: Path, threads: int) -> tuple[dict[str, float], bool]:
    """Train what the working directory's params.yaml describes, and leave its outputs there.

    Args:
        request: The trial's MLflow run.
        inputs: Folder of the processed splits.
        threads: Operations that may run side by side.

    Returns:
        The metrics of the training by the names that MLflow has, and whether MLflow has all of it.
    """
    from seqmnist.stages.train import train as train_model
    from seqmnist.training import history
    from seqmnist.training.runtime import start_tensorflow

    training = _training(inputs)
    start_tensorflow(min(training.cell_config.shards, threads))
    with training.checkpoints(CHECKPOINTS) as checkpoints:
        rows, is_logged = train_model(training, checkpoints, _of_cell(request, training))
        history.write(history_file(training.cell), rows)
    return history.summary(rows), is_logged


def restore(request: "RunRequest", inputs: Path) -> dict[str, float]:
    """Log what MLflow lacks of a finished trial in the working directory, and return the metrics of the training."""
    from seqmnist.runs.training_run import in_mlflow
    from seqmnist.training import history

    training = _training(inputs)
    rows = history.read(history_file(training.cell))
    in_mlflow(training, _of_cell(request, training), rows)
    return history.summary(rows)


def promotion(trial: Mapping[str, Any], values: dict[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return a trial's values as an experiment of the pipeline: content of its file, settings, lines for the user.

    Args:
        trial: Parameters of the trial, by dotted name.
        values: Plain values of the pipeline's configuration.

    Raises:
        UserError: The pipeline can't train it, or its configuration is not valid; or the trial is of a version that had
            fewer values, or was trained on other data.
    """
    pipeline = validate(values, str(CONF))
    cell, seed = _cell(trial, pipeline), trial["seed"]
    ours = flatten(pipeline.parameters_of(cell, pipeline.seeds[0]))  # what the pipeline would train the cell with
    if lacking := [key for key in ours if key.startswith(("cell.", "train.")) and key not in trial]:
        raise UserError(f"the trial has no {', '.join(lacking)}: an earlier version trained it; run the sweep again")
    changed = {key: trial.get(key) for key, value in ours.items() if trial.get(key) != value}
    if key := next((key for key in changed if key.startswith("data.")), None):
        given, value = changed[key], ours[key]
        raise UserError(f"the trial has {key} = {given}, the pipeline {value}: they are not trained on the same data")
    settings = [f"{key}={given}" for key, given in changed.items() if key.startswith("sequence.")]  # all cells share it
    own, train = (
        {key.removeprefix(section): given for key, given in changed.items() if key.startswith(section)}
        for section in ("cell.", "train.")
    )
    remarks = []
    if seed not in pipeline.seeds:
        settings.append(f"seeds=[{seed}]")
        remarks.append(f"seed {seed} is not the pipeline's: with it, the other cells are trained anew too")
    differing = own | ({"train": train} if train else {})
    return {"cells": {cell: differing}} if differing else {}, settings, remarks


def sync() -> None:
    """Log what MLflow lacks of all stages."""
    from seqmnist.runs.restore import restore_stages

    restore_stages()


def _cell(trial: Mapping[str, Any], pipeline: Config) -> str:
    """Return the pipeline's cell that takes the values."""
    kind = trial.get("cell.type")
    if kind not in pipeline.cells:
        raise UserError(
            f"the trial's cell is {kind}, the pipeline has {', '.join(pipeline.cells)}: first put"
            f" `- cell@cells.{kind}: {kind}` into conf/config.yaml and {kind} into the train matrix of dvc.yaml"
        )
    return str(kind)


def _training(inputs: Path) -> "Training":
    from seqmnist.training.setup import Training

    configuration = config.load()
    (cell,), (seed,) = configuration.cells, configuration.seeds
    return Training(configuration, cell, seed, *splits.load_all(inputs))


def _of_cell(request: "RunRequest", training: "Training") -> "RunRequest":
    return replace(request, tags={"cell": training.cell, **request.tags})
