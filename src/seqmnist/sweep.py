"""Sweeps over cells and hyperparameters: `python -m seqmnist.sweep -m KEY=VALUE,VALUE ...`, or `seqmnist-sweep`."""

import sys
from types import ModuleType
from typing import NoReturn

from accord.process import run_command
from accord.sweep import allowed_targets, app, job, sweep_run


def entry() -> NoReturn:
    """Run a sweep from the command line."""
    run_command(app.main)


def _keep_former_names() -> None:
    """Let jobs that wait in Slurm, whose files name modules of before, find what they name."""
    former = ModuleType(f"{__name__}.parent")
    former.ParentRun = sweep_run.SweepRun  # type: ignore[attr-defined]
    for name, module in {"job": job, "parent": former, "targets": allowed_targets}.items():
        sys.modules[f"seqmnist.sweep.{name}"] = module


if __name__ == "__main__":
    entry()
else:
    _keep_former_names()
