"""The process of one variant: `python -m benchmarks.worker VARIANT WORKLOAD`, started by `benchmarks.run`.

It warms up with one epoch. Then it trains and times an epoch for each line `go` on stdin, and reports its peak memory
for each line `memory`. Its answers are lines of JSON on stdout.
"""

import json
import os
import resource
import sys
import time

# Set before Keras is imported: the user's keras.json may name another backend.
os.environ["KERAS_BACKEND"] = "tensorflow"

from benchmarks.variants import VARIANTS
from benchmarks.workload import Workload


def main() -> None:
    """Set up the variant named on the command line, then answer requests until stdin ends."""
    variant, workload = sys.argv[1:]
    start = time.perf_counter()
    epoch = VARIANTS[variant](Workload(**json.loads(workload)))
    epoch()
    _answer(seconds=time.perf_counter() - start)
    for line in sys.stdin:
        if line == "go\n":
            _answer(seconds=epoch())
        else:
            _answer(mebibytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)  # Linux counts in KiB


def _answer(**values: float) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
