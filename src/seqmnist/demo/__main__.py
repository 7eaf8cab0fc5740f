"""Serve the page on this machine: `python -m seqmnist.demo`, by `make demo`."""

from seqmnist import config
from seqmnist.demo.app import application
from seqmnist.demo.reader import load_readers
from seqmnist.errors import run_command
from seqmnist.local import HOST, free_port
from seqmnist.training.runtime import start_tensorflow

_FIRST_PORT = 5200


def main() -> None:
    """Load the trained cells, print where the page is, and serve it until Ctrl-C."""
    import uvicorn

    configuration = config.load()
    print(f"loading {' and '.join(configuration.cells)} ...", flush=True)
    start_tensorflow(shards=1)
    app = application(load_readers(configuration), configuration.sequence.view)
    port = free_port(_FIRST_PORT)
    print(f"  draw a digit: http://{HOST}:{port}\nCtrl-C ends it.", flush=True)
    uvicorn.run(app, host=HOST, port=port, log_level="warning")


if __name__ == "__main__":
    run_command(main)
