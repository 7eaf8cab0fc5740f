"""The command `seqmnist`, also as `python -m seqmnist`."""

from typing import NoReturn

from accord.cli import run


def entry() -> NoReturn:
    """Run the sub-command that the command line names."""
    run("seqmnist")


if __name__ == "__main__":
    entry()
