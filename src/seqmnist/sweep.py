"""Sweeps over cells and hyperparameters: `python -m seqmnist.sweep -m KEY=VALUE,VALUE ...`, or `seqmnist-sweep`."""

from typing import NoReturn

from accord.process import run_command
from accord.sweep.app import main


def entry() -> NoReturn:
    """Run a sweep from the command line."""
    run_command(main)


if __name__ == "__main__":
    entry()
