"""The command `python -m seqmnist.sweep`, or `seqmnist-sweep`, which a shell can complete."""

from seqmnist.process import run_command
from seqmnist.sweep.app import main


def entry() -> None:
    """Run a sweep from the command line."""
    run_command(main)


if __name__ == "__main__":
    entry()
