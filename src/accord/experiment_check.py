"""A check that `dvc exp run` makes before it writes anything: are the values valid, and can the result be kept?

A project's `hydra.plugins_path` in .dvc/config names a folder with a module that calls `install`. DVC imports that
module only to compose an experiment's configuration, right before it does so.
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

try:
    from accord.compose import resolved
    from accord.errors import UserError
    from accord.experiments import check_repository
    from accord.git import GitError, git
    from accord.settings import config_errors, self_contained
    from accord.variants import check_pipeline
except ImportError as error:  # a library is missing; Hydra would turn an ImportError into a mere warning
    raise DvcException(
        f"{error}: this `dvc` lacks packages of the project: activate its environment, run it again"
    ) from None

_ORIGIN = "the experiment's configuration"


def install(root: Path) -> None:
    """Replace Hydra's singleton by one whose loader checks each configuration that it composes.

    Args:
        root: Root folder of the project.
    """

    class CheckingHydra(GlobalHydra):
        def initialize(self, hydra: Any) -> None:
            super().initialize(hydra)
            load = hydra.config_loader.load_configuration
            hydra.config_loader.load_configuration = partial(_checked, root, load)

    sys.path.insert(0, str(root / "src"))  # prefer this tree's code to an installed copy
    GlobalHydra.set_instance(CheckingHydra())


def _checked(root: Path, load: Callable[..., DictConfig], **options: Any) -> DictConfig:
    """Return the configuration that a Hydra loader composes.

    Raises:
        DvcException: A value is impossible, or DVC would lose or misplace the experiment's result.
    """
    try:
        _check_command(root)
        with config_errors(_ORIGIN), self_contained():
            config = load(**options)
            _, values = resolved(config, load(**options | {"config_name": None, "overrides": []}))
        check_pipeline(values, _ORIGIN)
    except UserError as error:
        raise DvcException(str(error)) from None
    return config


def _check_command(root: Path) -> None:
    arguments = sys.argv[1:]
    if Path.cwd().resolve() != root:
        raise UserError(f"run it in the repository's root {root}: DVC would write params.yaml into this folder")
    if not {"exp", "experiments"}.intersection(arguments):  # DVC was called from Python, not by its command
        return
    given = parse_args(arguments)
    if given.queue or given.tmp_dir:
        check_repository(root)
    for setting in given.set_param or ():
        file, _, key = setting.partition("=")[0].rpartition(":")
        # params.yaml is composed by Hydra, whose loader refuses interpolations itself.
        if file not in {"", "params.yaml"} and "${" in setting + _committed(file):
            why = "DVC would write values in place of ${...}, and git keep them"
            raise UserError(f"{file}:{key}: {why}: edit {file} itself")


def _committed(file: str) -> str:
    try:
        return git("show", f"HEAD:./{file}")
    except GitError:  # the commit has no such file
        return ""
