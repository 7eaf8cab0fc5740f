"""The command for sweeps over models and values: `python -m digits.sweep -m KEY=VALUE,VALUE ...`."""

from accord.process import run_command
from accord.sweep.app import main

if __name__ == "__main__":
    run_command(main)
