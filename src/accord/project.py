"""A project's description of itself, so that this package needs to know nothing of its data or models."""

import os
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from pydantic import BaseModel

from accord.errors import UserError
from accord.settings import validated

_OPTIONAL = {"run_tags", "sweep_figures"}
_VARIABLE = "ACCORD_PROJECT"  # names the project where its pyproject.toml is not, as on a node of Ray


@dataclass(frozen=True)
class Project:
    """A project's description.

    Its module of functions, which is imported when one of them is called, has:

    - train: (request, inputs, threads) -> metrics of the trial by the names that MLflow has, the selected epoch among
      them, and whether MLflow has all of it: train what the working directory's params.yaml describes.
    - restore: (request, inputs) -> the same metrics: log what MLflow lacks of the trial that is finished here.
    - sync: () -> None: log what MLflow lacks of all stages.

    It may have:

    - run_tags: (values of params.yaml) -> tags of every run of a sweep with this configuration.
    - sweep_figures: (folder, curves of the metric by name of a trial, values of the trials by name of a varied
      parameter, metric of each trial) -> None: draw figures into the folder.
    """

    name: str  # of the package, whose modules `NAME` and `NAME.sweep` are the project's commands
    config: str  # MODULE:CLASS of the pydantic model of params.yaml; its module imports nothing heavy
    functions: str  # the module of functions; its package is sent with a trial to other machines
    metric: str  # of an epoch, which chooses epochs and trials; the highest is the best
    variant: str  # group of conf/ whose option a trial's name begins with; its key `type` has the option's name
    inputs: str  # folder that trials read, relative to that of dvc.yaml
    description: str = ""  # text above the runs on MLflow's page, as Markdown
    reported: tuple[str, ...] = ()  # further metrics of the selected epoch that tables show, and nothing is chosen by
    cores: int | None = None  # the most that one training can use; None if there is no limit

    def call(self, function: str, *arguments: Any) -> Any:
        """Call one of the functions by its name; return None where the module lacks one that it only may have."""
        try:
            module = import_module(self.functions)
        except ModuleNotFoundError as error:
            raise UserError(f"functions = {self.functions!r} of the project can't be imported: {error}") from None
        if hasattr(module, function):
            return getattr(module, function)(*arguments)
        if function not in _OPTIONAL:
            raise UserError(f"{self.functions} has no function {function}: see `help(accord.project.Project)`")
        return None

    def check_values(self, values: dict[str, Any], origin: str) -> None:
        """Refuse impossible values of params.yaml with a `UserError`, which says by `origin` where they come from."""
        validated(self.config_model(), values, origin)

    def config_model(self) -> type[BaseModel]:
        """Return the model of params.yaml."""
        try:
            model: type[BaseModel] = resolve_name(self.config)
        except (ImportError, AttributeError, ValueError) as error:
            raise UserError(f"config = {self.config!r} of the project can't be imported: {error}") from None
        return model


def own_command(arguments: str) -> str:
    """Return a command of the project, to be shown to a user, e.g. `digits sync`."""
    return f"`{find_project().name} {arguments}`"


def mend() -> str:
    """Return what mends a damaged file that only DVC writes, to be shown to a user."""
    return f"run {own_command('check --repair')}, then `dvc repro`"


@cache
def find_project() -> Project:
    """Return the project that the environment or the working directory's pyproject.toml names as `[tool.accord]`."""
    name = _name()
    try:
        project = resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"the project {name!r} can't be imported: {error}") from None
    if not isinstance(project, Project):
        raise UserError(f"the project {name!r} is no Project of accord's: name it as MODULE:NAME")
    return project


def project_environment() -> dict[str, str]:
    """Return the variable by which a process elsewhere finds this project."""
    return {_VARIABLE: _name()}


def _name() -> str:
    if name := os.environ.get(_VARIABLE):
        return name
    file = Path("pyproject.toml").resolve()
    try:
        return str(tomllib.loads(file.read_text("utf-8"))["tool"]["accord"]["project"])
    except (FileNotFoundError, KeyError, TypeError):
        raise UserError(f'{file} names no project: add [tool.accord] project = "MODULE:NAME"') from None
    except ValueError as error:
        raise UserError(f"{file} can't be read: {error}") from None
