"""The description that a project gives of itself, so that this package need not know its data or models."""

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
_VARIABLE = "ACCORD_PROJECT"  # names the project where there is no pyproject.toml, as on a Ray node


@dataclass(frozen=True)
class Project:
    """The description of a project: its names, and the module of functions that this package calls.

    The module is imported when one of its functions is called. It must have:

    - train(request, inputs, threads): Train the model that params.yaml in the working directory describes. Return the
      trial's metrics, by their names in MLflow and with those of the selected epoch, and whether MLflow has the
      complete run.
    - restore(request, inputs): Log the parts of a trial finished on this machine that MLflow lacks. Return its metrics.
    - sync(): Log the runs of all stages that MLflow lacks.

    It may have:

    - run_tags(values): Return the tags of every run of a sweep whose params.yaml has these values.
    - sweep_figures(folder, curves, values, metrics): Draw figures into the folder. `curves` has the project's metric of
      each epoch by the trial's name. `values` has one value per trial by the name of each varied parameter. `metrics`
      has the project's metric of each trial.
    """

    name: str  # name of the package; the project's commands are its modules `NAME` and `NAME.sweep`
    config: str  # MODULE:CLASS of the pydantic model of params.yaml; the module should import fast
    functions: str  # name of the module of functions; its package is sent to other machines with a trial
    metric: str  # name of the metric that selects epochs and trials; the highest value is the best
    variant: str  # group of conf/ whose option a trial's name begins with; its key `type` has the option's name
    inputs: str  # folder that trials read, relative to the folder of dvc.yaml
    description: str = ""  # description of the experiment on MLflow's page, in Markdown
    reported: tuple[str, ...] = ()  # further metrics of the selected epoch, shown in tables but never used to select
    cores: int | None = None  # maximum number of cores that one training can use; None means no limit

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function of the project's module by name; return None if it is optional and missing.

        Raises:
            UserError: The module can't be imported, or lacks a function that it must have.
        """
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
        """Check the values of params.yaml against the project's pydantic model.

        Raises:
            UserError: A value is impossible; the message begins with `origin`, where the values come from.
        """
        validated(self.config_model(), values, origin)

    def config_model(self) -> type[BaseModel]:
        """Return the pydantic model of params.yaml.

        Raises:
            UserError: It can't be imported.
        """
        try:
            model: type[BaseModel] = resolve_name(self.config)
        except (ImportError, AttributeError, ValueError) as error:
            raise UserError(f"config = {self.config!r} of the project can't be imported: {error}") from None
        return model


def own_command(arguments: str) -> str:
    """Return a command of the project for a message, e.g. `digits sync` in backquotes."""
    return f"`{find_project().name} {arguments}`"


def mend() -> str:
    """Return the remedy, for a message, for a damaged file that only DVC writes."""
    return f"run {own_command('check --repair')}, then `dvc repro`"


@cache
def find_project() -> Project:
    """Return the project that ACCORD_PROJECT or `[tool.accord]` in the working directory's pyproject.toml names.

    Raises:
        UserError: None is named, or it can't be imported.
    """
    name = _name()
    try:
        project = resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"the project {name!r} can't be imported: {error}") from None
    if not isinstance(project, Project):
        raise UserError(f"the project {name!r} is not an accord.project.Project: name it as MODULE:NAME")
    return project


def project_environment() -> dict[str, str]:
    """Return the environment variable by which processes in other folders or on other machines find this project."""
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
