"""Profile an epoch of one cell: `python -m benchmarks.profile lstm` prints each operation's share of the time."""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.run import CELLS
from benchmarks.variants import SHARDS, fast
from benchmarks.workload import Workload

IMAGES = 5_500
SHOWN = 12  # operations in the table


def main() -> None:
    """Profile an epoch of the cell named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cell", choices=CELLS)
    cell = parser.parse_args().cell
    work = Workload(cell, images=IMAGES)
    epoch = fast(work)
    epoch()  # warms up
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            seconds = epoch()
        milliseconds = by_operation(next(Path(folder).rglob("*.xplane.pb")))
    batches = IMAGES // work.batch
    print(f"{cell}: {seconds / batches * 1e3:.1f} ms a batch, {SHARDS} threads; milliseconds of a thread for a shard\n")
    print("| operation | ms | % |\n|---|---:|---:|")
    total = seconds * 1e3 * SHARDS
    rest = total
    for name, spent in milliseconds.most_common(SHOWN):
        rest -= spent
        print(f"| {name} | {spent / batches / SHARDS:.2f} | {spent / total:.0%} |")
    print(f"| all others, and waiting | {rest / batches / SHARDS:.2f} | {rest / total:.0%} |")


def by_operation(path: Path) -> Counter[str]:
    """Return the milliseconds spent by kind of operation, added over the CPU threads in a TensorFlow profile."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    spent: Counter[str] = Counter()
    for plane in space.planes:
        names = {key: value.name for key, value in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                node, colon, kind = names[event.metadata_id].rpartition(":")
                # Events named node:Kind are operations; those named Class::method are the executor's own work.
                if colon and node and not node.endswith(":") and kind.isidentifier():
                    spent[kind] += event.duration_ps / 1e9
    return spent


if __name__ == "__main__":
    main()
