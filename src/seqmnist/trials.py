"""Trials of a sweep as this project has them: pipelines of one cell and one seed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqmnist import config
from seqmnist.config import Config, validate
from seqmnist.data import splits
from seqmnist.errors import UserError
from seqmnist.paths import CONF, PARAMS, history_file
from seqmnist.projects import Outcome, Promotion
from seqmnist.runs import data_sets
from seqmnist.settings import flatten
from seqmnist.sweep.folders import CHECKPOINTS
from seqmnist.sweep.names import key_of

if TYPE_CHECKING:
    from seqmnist.tracking.runs import RunRequest
    from seqmnist.training.setup import Training


def run_tags(values: dict[str, Any]) -> dict[str, str]:
    """Return the tags of every run with these values of params.yaml.

    Raises:
        UserError: They are no valid configuration.
    """
    return data_sets.tags(validate(values, str(PARAMS)).data)


def pipeline_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's configuration as that of a pipeline with one cell and one seed."""
    rest = dict(values)
    cell, seed = rest.pop("cell"), rest.pop("seed")
    return {
        "data": rest.pop("data"),
        "sequence": rest.pop("sequence"),
        "cells": {str(cell["type"]): cell},
        "train": rest.pop("train"),
        "tracking": rest.pop("tracking"),
        "seeds": [seed],
        **rest,  # nothing, or keys that the schema refuses
    }


def shadowed(values: Mapping[str, Any], overrides: Sequence[str], searched: Iterable[str] = ()) -> str | None:
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


def parameters(values: dict[str, Any]) -> dict[str, object]:
    """Return the nested parameters that the run of a trial with these values of params.yaml has.

    Raises:
        UserError: They are no valid configuration.
    """
    configuration = validate(values, str(PARAMS))
    (cell,), (seed,) = configuration.cells, configuration.seeds
    return configuration.parameters_of(cell, seed)


def train(request: "RunRequest", inputs: Path, threads: int) -> Outcome:
    """Train what the working directory's params.yaml describes, and leave its outputs there.

    Args:
        request: The trial's MLflow run.
        inputs: Folder of the processed splits.
        threads: Operations that may run side by side.
    """
    from seqmnist.training import history
    from seqmnist.training.runtime import start_tensorflow
    from seqmnist.trainings import train as train_model

    training = _training(inputs)
    start_tensorflow(min(training.cell_config.shards, threads))
    with training.checkpoints(CHECKPOINTS) as checkpoints:
        rows, is_logged = train_model(training, checkpoints, _of_cell(request, training))
        history.write(history_file(training.cell), rows)
    return Outcome(history.selected(rows).epoch, history.summary(rows), is_logged)


def restore(request: "RunRequest", inputs: Path) -> None:
    """Log what MLflow lacks of a finished trial in the working directory."""
    from seqmnist.runs.training_run import in_mlflow
    from seqmnist.training import history

    training = _training(inputs)
    in_mlflow(training, _of_cell(request, training), history.read(history_file(training.cell)))


def promotion(trial: Mapping[str, Any], values: dict[str, Any]) -> Promotion:
    """Return a trial's values as an experiment of the pipeline.

    Args:
        trial: Parameters of the trial, by dotted name.
        values: Plain values of the pipeline's configuration.

    Raises:
        UserError: The pipeline can't train it, or its configuration is not valid.
    """
    pipeline = validate(values, str(CONF))
    cell, seed = _cell(trial, pipeline), trial["seed"]
    ours = flatten(pipeline.parameters_of(cell, pipeline.seeds[0]))  # what the pipeline would train the cell with
    differing, settings = _differing(trial, ours), _shared(trial, ours)
    remarks = []
    if seed not in pipeline.seeds:
        settings.append(f"seeds=[{seed}]")
        remarks.append(f"seed {seed} is not the pipeline's: with it, the other cells are trained anew too")
    return Promotion({"cells": {cell: differing}} if differing else {}, settings, remarks)


def _cell(trial: Mapping[str, Any], pipeline: Config) -> str:
    """Return the pipeline's cell that takes the values."""
    kind = trial.get("cell.type")
    if kind not in pipeline.cells:
        raise UserError(
            f"the trial's cell is {kind}, the pipeline has {', '.join(pipeline.cells)}: first put"
            f" `- cell@cells.{kind}: {kind}` into conf/config.yaml and {kind} into the train matrix of dvc.yaml"
        )
    return str(kind)


def _differing(trial: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trial's values that the pipeline has otherwise, as below `cells.<cell>`.

    Raises:
        UserError: The trial is of a version that had fewer values.
    """
    if lacking := [key for key in ours if key.startswith(("cell.", "train.")) and key not in trial]:
        raise UserError(f"the trial has no {', '.join(lacking)}: an earlier version trained it; run the sweep again")
    own = {key: trial[key] for key, value in ours.items() if trial.get(key) != value}
    values = {key.removeprefix("cell."): value for key, value in own.items() if key.startswith("cell.")}
    train = {key.removeprefix("train."): value for key, value in own.items() if key.startswith("train.")}
    return values | ({"train": train} if train else {})


def _shared(trial: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Return settings for values of the sequence, which all cells share.

    Raises:
        UserError: The trial was trained on other data.
    """
    settings = []
    for key, value in ours.items():
        given = trial.get(key)
        if key.startswith("data.") and given != value:
            raise UserError(
                f"the trial has {key} = {given}, the pipeline {value}: they are not trained on the same data"
            )
        if key.startswith("sequence.") and given != value:
            settings.append(f"{key}={given}")
    return settings


def _training(inputs: Path) -> "Training":
    from seqmnist.training.setup import Training

    configuration = config.load()
    (cell,), (seed,) = configuration.cells, configuration.seeds
    return Training(configuration, cell, seed, *splits.load_all(inputs))


def _of_cell(request: "RunRequest", training: "Training") -> "RunRequest":
    return replace(request, tags={"cell": training.cell, **request.tags})
