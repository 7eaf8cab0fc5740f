"""Carry a trial's values back into the pipeline: `seqmnist promote`."""

import re
import shlex
from pathlib import Path
from statistics import fmean
from typing import Any

from seqmnist.compose import compose
from seqmnist.config import FILE_NAME, Config, validate
from seqmnist.errors import UserError
from seqmnist.files import write_text
from seqmnist.paths import CONF
from seqmnist.settings import Tracking, flatten
from seqmnist.sweep.folders import Request, former_folder
from seqmnist.sweep.summary import ACCURACY, SEED, TEST, configurations
from seqmnist.tracking.sweeps import Sweep, Trial, read_run
from seqmnist.trainings import run_parameters

EXPERIMENTS = CONF / "experiment"


def promote(source: str, name: str | None) -> None:
    """Write the values of a trial as conf/experiment/<name>.yaml and print how to run the pipeline with them.

    Args:
        source: the id of a trial's run; or that of a sweep's run, or its folder, for the configuration with the best
            validation accuracy, as mean over its seeds.
        name: of the experiment; made of the values if None.

    Raises:
        UserError: there is no such trial, it is not finished, the pipeline can't train it, or the name is no file's.
    """
    if name is not None and not re.fullmatch(FILE_NAME, name):
        raise UserError(f"--name = {name!r} is impossible: letters, digits, _, . and -, not . or - first")
    pipeline = validate(compose(CONF)[1], str(CONF))
    trials = _trials(source, pipeline.tracking)
    trial = _chosen(trials, pipeline)
    cell = _cell(trial, pipeline)
    path = EXPERIMENTS / f"{name or _file_name(trial)}.yaml"
    ours = flatten(run_parameters(pipeline, cell, pipeline.seeds[0]))  # what the pipeline would train the cell with
    values = _differing(trial, ours)
    own_seed = [] if trial.parameters[SEED] in pipeline.seeds else ["-S", f"seeds=[{trial.parameters[SEED]}]"]
    command = ["dvc", "exp", "run", "-S", f"experiment={path.stem}", *_shared(trial, ours), *own_seed]
    text = _header(trials, shlex.join(command)) + (_yaml({"cells": {cell: values}}) if values else "")
    if path.exists() and path.read_text() != text:
        raise UserError(f"{path} exists with other content: choose another name with --name, or remove it")
    write_text(path, text)
    print(f"{path}:\n{text}")
    if own_seed:
        print(f"seed {trial.parameters[SEED]} is not the pipeline's: with it, the other cells are trained anew too")
    print(shlex.join(command))


def _trials(source: str, tracking: Tracking) -> list[Trial]:
    """The finished trials of one configuration, that with the best mean in a sweep."""
    if Path(source).is_dir():
        folder = Path(source)
        sweep_tracking = Tracking.model_validate(Request.read(folder).tracking)
        found: Trial | list[Trial] = Sweep.configured(sweep_tracking, folder, former_folder(folder)).trials()
    else:
        found = read_run(tracking, source)
    groups = configurations(found if isinstance(found, list) else [found])
    if not groups:
        raise UserError(f"{source}: no trial of it is finished")
    return groups[0]


def _chosen(trials: list[Trial], pipeline: Config) -> Trial:
    """The trial with a seed of the pipeline's, if there is one: its figures come again without another seed."""
    return next((trial for trial in trials if trial.parameters.get(SEED) in pipeline.seeds), trials[0])


def _cell(trial: Trial, pipeline: Config) -> str:
    """The pipeline's cell that takes the values."""
    kind = trial.parameters.get("cell.type")
    if kind not in pipeline.cells:
        raise UserError(
            f"the trial's cell is {kind}, the pipeline has {', '.join(pipeline.cells)}: first put"
            f" `- cell@cells.{kind}: {kind}` into conf/config.yaml and {kind} into the train matrix of dvc.yaml"
        )
    return str(kind)


def _differing(trial: Trial, ours: dict[str, Any]) -> dict[str, Any]:
    """The trial's values that the pipeline has otherwise, as below `cells.<cell>`.

    Raises:
        UserError: the trial is of a version that had fewer values.
    """
    if lacking := [key for key in ours if key.startswith(("cell.", "train.")) and key not in trial.parameters]:
        raise UserError(f"the trial has no {', '.join(lacking)}: an earlier version trained it; run the sweep again")
    own = {key: trial.parameters[key] for key, value in ours.items() if trial.parameters.get(key) != value}
    values = {key.removeprefix("cell."): value for key, value in own.items() if key.startswith("cell.")}
    train = {key.removeprefix("train."): value for key, value in own.items() if key.startswith("train.")}
    return values | ({"train": train} if train else {})


def _shared(trial: Trial, ours: dict[str, Any]) -> list[str]:
    """Arguments for values of the sequence, which all cells share.

    Raises:
        UserError: the trial was trained on other data.
    """
    arguments = []
    for key, value in ours.items():
        given = trial.parameters.get(key)
        if key.startswith("data.") and given != value:
            raise UserError(
                f"the trial has {key} = {given}, the pipeline {value}: they are not trained on the same data"
            )
        if key.startswith("sequence.") and given != value:
            arguments += ["-S", f"{key}={given}"]
    return arguments


def _file_name(trial: Trial) -> str:
    words = [word for word in trial.name.split() if not word.startswith(f"{SEED}=")]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "_".join(words))


def _header(trials: list[Trial], command: str) -> str:
    """Comments: where the values come from, what they reached, how to use them."""
    best = trials[0]
    accuracies = ", ".join(f"{trial.metrics[ACCURACY]:.4f}" for trial in trials)
    validation, test = (fmean(trial.metrics[name] for trial in trials) for name in (ACCURACY, TEST))
    several = f", the mean of {len(trials)} seeds ({accuracies})" if len(trials) > 1 else ""
    lines = [
        "# @package _global_",
        f"# {best.name}, run {best.run_id}{' of' if best.command else ''}",
        *([f"#   {best.command}"] if best.command else []),
        f"# Validation accuracy {validation:.4f}{several}, test accuracy {test:.4f}; {best.minutes:.1f} minutes.",
        "# Reproduce it:",
        f"#   {command}",
    ]
    return "\n".join(lines) + "\n"


def _yaml(values: dict[str, Any]) -> str:
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(values))
