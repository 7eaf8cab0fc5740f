"""Serve the page on this machine: `python -m seqmnist.demo`, by `make demo`."""

from accord.process import run_command
from seqmnist import config
from seqmnist.demo.app import application
from seqmnist.demo.reader import load_readers
from seqmnist.localhost import listener, serve
from seqmnist.training.runtime import start_tensorflow

_FIRST_PORT = 5200


def main() -> None:
    """Load the trained cells, print the page's address, and serve it until Ctrl-C."""
    configuration = config.load()
    print(f"loading {' and '.join(configuration.cells)} ...", flush=True)
    start_tensorflow(shards=1)
    app = application(load_readers(configuration), configuration.sequence.view)
    serve(app, listener(_FIRST_PORT), "  draw a digit: {address}")


if __name__ == "__main__":
    run_command(main)
