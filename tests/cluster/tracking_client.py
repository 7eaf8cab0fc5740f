"""A simulated trial that logs to the tracking server as a training does, but trains nothing."""

import json
import sys
import time
from pathlib import Path

from accord.tracking.runs import RunRequest, stage_run
from seqmnist import config


def main(experiment: str, epochs: int, number: int) -> None:
    """Log parameters, metrics of each epoch and a file of 1 MB; print the times and the slowest call."""
    tracking = config.load().tracking.model_copy(update={"experiment": experiment})
    file = Path("load", str(number), "big.bin")
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(1_000_000))
    start, slowest = time.time(), 0.0
    with stage_run(tracking, RunRequest("train", f"client {number}", {"client": str(number)})) as run:
        run.params({"number": number, "experiment": experiment})
        for epoch in range(epochs):
            before = time.monotonic()
            run.metrics({f"m{index}": number + epoch / 7 + index for index in range(5)}, step=epoch)
            slowest = max(slowest, time.monotonic() - before)
        run.artifact(file)
    print(json.dumps({"start": start, "end": time.time(), "slowest": slowest}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
