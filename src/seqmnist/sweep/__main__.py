"""The command `python -m seqmnist.sweep`."""

from seqmnist.errors import run_command
from seqmnist.sweep.app import main

if __name__ == "__main__":
    run_command(main)
