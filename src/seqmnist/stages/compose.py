"""Compose conf/ into params.yaml, so that plain `dvc repro` honours an edit under conf/."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from seqmnist.compose import changes, compose
from seqmnist.config import Config, validate
from seqmnist.errors import UserError
from seqmnist.experiments import run_stage
from seqmnist.files import write_text
from seqmnist.paths import CONF, PARAMS
from seqmnist.settings import read_yaml

PIPELINE = Path("dvc.yaml")


def main() -> None:
    """Write params.yaml; inside `dvc exp run`, which has composed it with the experiment's values, only check it."""
    if "DVC_EXP_BASELINE_REV" in os.environ and PARAMS.exists():
        _refuse_interpolations_of_dvc()
        kept = read_yaml(PARAMS)
        check_matrix(validate(kept, str(PARAMS)))
        print("params.yaml: kept as the experiment composed it; against conf/:")
        print("\n".join(changes(compose(CONF)[1], kept)) or "params.yaml: no difference")
        return
    text, values = compose(CONF)
    check_matrix(validate(values, str(CONF)))
    previous: dict[str, Any] = {}
    with suppress(UserError):  # it is missing or broken, and about to be replaced
        previous = read_yaml(PARAMS)
    for line in changes(previous, values) if previous else ["params.yaml: composed from conf/"]:
        print(line)
    write_text(PARAMS, text)


def check_matrix(config: Config) -> None:
    """Refuse cells that dvc.yaml doesn't train, which would only show as a missing file at the end.

    Raises:
        UserError: the configured cells are not those of dvc.yaml's matrix.
    """
    from omegaconf import OmegaConf

    matrix = OmegaConf.load(PIPELINE).stages.train.matrix.cell  # DVC has read this file: it is whole
    if sorted(matrix) != sorted(config.cells):
        configured, trained = ", ".join(config.cells), ", ".join(matrix)
        raise UserError(f"conf/config.yaml has the cells {configured}, dvc.yaml trains {trained}: make them equal")


def _refuse_interpolations_of_dvc() -> None:
    """Refuse `dvc exp run --no-hydra -S key=${...}`, which has written what the interpolation gives, maybe a secret."""
    for process in psutil.Process().parents():
        with suppress(psutil.Error):  # another user's
            command = process.cmdline()
            if "--no-hydra" in command and (given := next((part for part in command if "${" in part), None)):
                file = given.removeprefix("-S").partition("=")[0].rpartition(":")[0] or PARAMS
                raise UserError(
                    f"{given}: DVC has written its value to {file}, which goes to git: run `git checkout {file}`, then"
                    " give values without ${...}"
                )


if __name__ == "__main__":
    run_stage(main)
