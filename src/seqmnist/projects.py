"""What a project tells tracking and sweeps about itself, so that they need to know nothing of its data or models."""

import os
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from seqmnist.errors import UserError

_VARIABLE = "SEQMNIST_PROJECT"  # names the project where its pyproject.toml is not, as on a node of Ray
_FILE = Path("pyproject.toml")


@dataclass(frozen=True)
class Project:
    """A project's description. Its functions are named as `module:function` and imported when they are called.

    Attributes:
        name: Name of the project.
        metric: Metric of an epoch that chooses epochs and trials; the highest is the best.
        reported: Further metrics of the selected epoch that tables show. Nothing is chosen by them.
        variant: Group of conf/ whose option is what a trial's name begins with; its key `type` has the option's name.
        keys: Top-level keys of a composed trial.
        run_tags: (plain values of params.yaml) -> tags of every run of this configuration, which is checked.
        trial_values: (plain values of a composed trial) -> plain values of its params.yaml.
        ineffective: (plain values of a composed trial, overrides, values of conf/search as overrides) -> why a value
            has no effect, or None.
        parameters: (plain values of a trial's params.yaml) -> nested parameters of its run.
        train: (request, inputs, threads) -> `Outcome`: train what the working directory's params.yaml describes;
            its checkpoints stay until the trial's result is written.
        restore: (request, inputs) -> None: log what MLflow lacks of a finished trial in the working directory.
        promotion: (flat parameters of a trial, plain values of the pipeline) -> `Promotion`.
        sync: () -> None: log what MLflow lacks of all stages.
        data_folder: (name of a logged data set) -> the folder with its files.
        sweep_figures: (folder, curves of the metric by name of a trial, values of the trials by name of a varied
            parameter, metric of each trial) -> None: draw figures into the folder.
        inputs: Folder that trials read, relative to the repository.
        inputs_stage: DVC stage that makes it.
        inputs_section: Section of the configuration that it is made by, which can't be swept.
        packages: Packages of the code that a trial runs.
    """

    name: str
    metric: str
    reported: tuple[str, ...]
    variant: str
    keys: tuple[str, ...]
    run_tags: str
    trial_values: str
    ineffective: str
    parameters: str
    train: str
    restore: str
    promotion: str
    sync: str
    data_folder: str
    sweep_figures: str
    inputs: str
    inputs_stage: str
    inputs_section: str
    packages: tuple[str, ...]

    def call(self, function: str, *arguments: Any) -> Any:
        """Call one of the functions by the name of its attribute."""
        return _imported(getattr(self, function))(*arguments)


@dataclass(frozen=True)
class Outcome:
    """What a trial came to.

    Attributes:
        epoch: The selected one, from 0.
        metrics: Metrics of the trial as a whole, by the names that MLflow has.
        is_logged: Whether MLflow has all of the trial.
    """

    epoch: int
    metrics: dict[str, float]
    is_logged: bool


@dataclass(frozen=True)
class Promotion:
    """A trial's values as an experiment of the pipeline.

    Attributes:
        values: Content of the experiment's file.
        settings: Values for the command line, as KEY=VALUE.
        remarks: Lines for the user.
    """

    values: dict[str, Any]
    settings: list[str]
    remarks: list[str] = field(default_factory=list)


@cache
def find() -> Project:
    """Return the project that the environment or the working directory's pyproject.toml names as `[tool.seqmnist]`.

    Raises:
        UserError: There is none.
    """
    name = _name()
    try:
        project: Project = _imported(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"the project {name!r} can't be imported: {error}") from None
    return project


def environment() -> dict[str, str]:
    """Return the variable by which a process elsewhere finds this project."""
    return {_VARIABLE: _name()}


def _name() -> str:
    if name := os.environ.get(_VARIABLE):
        return name
    try:
        return str(tomllib.loads(_FILE.read_text())["tool"]["seqmnist"]["project"])
    except (FileNotFoundError, KeyError, TypeError):
        told = f'{_FILE.resolve()} names no project: add [tool.seqmnist] project = "MODULE:NAME"'
    except ValueError as error:
        told = f"{_FILE.resolve()} can't be read: {error}"
    raise UserError(told)


def _imported(name: str) -> Any:
    """Return what `module:attribute` names."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
