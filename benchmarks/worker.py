"""One variant in a process of its own: `python -m benchmarks.worker VARIANT WORKLOAD`, started by `benchmarks.run`.

It warms up with one epoch. Then it times one for each line `go` on stdin, and tells its memory for each `memory`;
answers are lines of JSON on stdout.
"""

import json
import os
import resource
import sys
import time

# Keras's other backends are not what is compared.
os.environ["KERAS_BACKEND"] = "tensorflow"

from benchmarks.variants import VARIANTS
from benchmarks.workload import Workload


def main() -> None:
    """Set up, then answer until stdin ends."""
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
