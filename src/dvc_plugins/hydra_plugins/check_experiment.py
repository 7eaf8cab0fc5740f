"""Have DVC check an experiment before it writes anything: its configuration, and whether its result can be kept.

DVC imports this module right before it composes (`hydra.plugins_path` in .dvc/config), and for nothing else.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dvc.cli import parse_args
from dvc.exceptions import DvcException
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

ROOT = Path(__file__).resolve().parents[3]
ORIGIN = "the experiment's configuration"

sys.path.insert(0, str(ROOT / "src"))  # this tree's code, also where another is installed
try:
    from seqmnist.compose import resolved, telling
    from seqmnist.config import validate
    from seqmnist.errors import UserError
    from seqmnist.experiments import check_repository
    from seqmnist.git import GitError, git
    from seqmnist.settings import self_contained
    from seqmnist.stages.compose import check_matrix
except ImportError as error:  # Hydra would only warn of it
    raise DvcException(f"{error}: this `dvc` lacks packages of the project: activate .venv, run it again") from None
finally:
    sys.path.remove(str(ROOT / "src"))


class CheckingHydra(GlobalHydra):
    """Hydra's singleton, with a loader that checks what it composes."""

    def initialize(self, hydra: Any) -> None:
        """Take up an application, and wrap its loader."""
        super().initialize(hydra)
        load = hydra.config_loader.load_configuration
        hydra.config_loader.load_configuration = partial(_checked, load)


def _checked(load: Callable[..., DictConfig], **options: Any) -> DictConfig:
    """Return what a loader composes.

    Raises:
        DvcException: it can't be used, or DVC would write it to a wrong place, or lose the experiment.
    """
    try:
        _check_command()
        with telling(ORIGIN), self_contained():
            config = load(**options)
            _, values = resolved(config, load(**options | {"config_name": None, "overrides": []}))
        check_matrix(validate(values, ORIGIN))
    except UserError as error:
        raise DvcException(str(error)) from None
    return config


def _check_command() -> None:
    arguments = sys.argv[1:]
    if Path.cwd().resolve() != ROOT:
        raise UserError(f"run it in the repository's root {ROOT}: DVC would write params.yaml into this folder")
    if not {"exp", "experiments"}.intersection(arguments):  # no command line of DVC's
        return
    given = parse_args(arguments)
    if given.queue or given.tmp_dir:
        check_repository(ROOT)
    for setting in given.set_param or ():
        file, _, key = setting.partition("=")[0].rpartition(":")
        if file not in {"", "params.yaml"} and "${" in setting + _committed(file):  # params.yaml is composed
            why = "DVC would write values in place of ${...}, and git keep them"
            raise UserError(f"{file}:{key}: {why}: edit {file} itself")


def _committed(file: str) -> str:
    try:
        return git("show", f"HEAD:./{file}")
    except GitError:  # it has no such file
        return ""


GlobalHydra.set_instance(CheckingHydra())
