"""The command `digits`, also `python -m digits`: accord's commands for this project."""

from functools import partial

from accord.cli import run

entry = partial(run, "digits")

if __name__ == "__main__":
    entry()
