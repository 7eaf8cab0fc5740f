"""Have DVC check an experiment's configuration as the stage compose does, before anything of it is written.

DVC imports this module right before it composes (`hydra.plugins_path` in .dvc/config), and for nothing else.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

ROOT = Path(__file__).resolve().parents[3]
ORIGIN = "the experiment's configuration"

sys.path.insert(0, str(ROOT / "src"))  # this tree's code, also where another is installed
try:
    from seqmnist.config import self_contained, validate
    from seqmnist.errors import UserError
    from seqmnist.stages.compose import check_matrix, resolved, telling
except ImportError as error:  # Hydra would only warn of it
    raise DvcException(f"{error}: this DVC can't check the configuration; run the one of .venv") from None
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
        DvcException: it can't be used, or DVC would write it to a wrong place.
    """
    try:
        _refuse_subdirectory()
        _refuse_interpolations_in_files()
        with telling(ORIGIN), self_contained():
            config = load(**options)
            _, values = resolved(config, load(**options | {"config_name": None, "overrides": []}))
        check_matrix(validate(values, ORIGIN))
    except UserError as error:
        raise DvcException(str(error)) from None
    return config


def _refuse_subdirectory() -> None:
    if Path.cwd().resolve() != ROOT:
        raise UserError(f"DVC would write params.yaml in this folder and read another: run it in {ROOT}")


def _refuse_interpolations_in_files() -> None:
    """Refuse `-S file:key=value` where DVC replaces interpolations of the file by what they give, maybe a secret."""
    for argument in sys.argv[1:]:
        edit = re.fullmatch(r"(?:--set-param=|-S)?([^=:]+):([^=]+)=(.*)", argument, re.DOTALL)
        if edit is None or edit[1] == "params.yaml":  # which DVC composes
            continue
        before = subprocess.run(["git", "show", f"HEAD:./{edit[1]}"], capture_output=True, text=True, check=False)
        if "${" in edit[3] + before.stdout:
            raise UserError(f"{edit[1]}:{edit[2]}: DVC would write values in place of ${{...}}: edit {edit[1]} itself")


GlobalHydra.set_instance(CheckingHydra())
