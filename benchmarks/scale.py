"""Measure how the cost of a sweep grows with its trials, and extrapolate: `python -m benchmarks.scale`.

MLflow's client logs one run to a new database; SQL then copies it thousands of times. The results go to scale.json
and into the tables of scale.md, beside this module.
"""

import argparse
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from accord.files import write_json, write_text
from accord.process import run_command
from accord.settings import Tracking
from benchmarks import scale_model
from benchmarks.machine import machine
from seqmnist.report.publish import filled

HERE = Path("benchmarks")
RUNS = (1, 1_000, 10_000, 100_000)
JOBS = (100, 1_000)
EPOCHS = 15
METRICS = [f"{split}.{name}" for split in ("train", "validation", "test") for name in ("accuracy", "loss", "seconds")]
PARAMETERS = 60  # logged for each run
_COPIED = ("runs", "tags", "params", "metrics", "latest_metrics")
_ROUNDS = 7
_IMAGE = 28 * 28


def main() -> None:
    """Run the benchmark, print its tables and write them into docs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="use a hundredth of the sizes; write no files")
    quick = parser.parse_args().quick
    share = 100 if quick else 1
    with tempfile.TemporaryDirectory(dir=".") as folder:
        measured = {
            "machine": machine(),
            "store": [*store(Path(folder), [max(1, runs // share) for runs in RUNS])],
            "hydra": [hydra(jobs // share) for jobs in JOBS],
            "mapped": mapped(Path(folder), 4_000_000 // share),
        }
    tables = scale_model.tables(measured)
    print("\n".join(tables.values()))
    if not quick:
        write_json(HERE / "scale.json", measured)
        page = HERE / "scale.md"
        write_text(page, filled(page.read_text("utf-8"), "scale", tables))


def store(folder: Path, sizes: list[int]) -> Iterator[dict[str, Any]]:
    """Yield the seconds of MLflow's requests, the peak memory and the database's size for each number of runs.

    Args:
        folder: Folder for the database.
        sizes: Numbers of runs, in ascending order.
    """
    from mlflow.entities import Metric, Param, RunTag

    from accord.tracking.store import open_store
    from accord.tracking.sweeps import TRIAL, Sweep

    database = (folder / "mlflow.db").absolute()
    client, experiment = open_store(Tracking(uri=f"sqlite:///{database}", experiment="scale"))
    sweep = Sweep(client, experiment, "/sweep")
    sweep.start("sweep", {})

    def begin(number: int) -> str:
        tags = {**sweep.trial_tags(number), "config.sha256": f"{number:064}", "train.sha256": f"{number:064}"}
        run_id = str(client.create_run(experiment, tags=tags).info.run_id)
        client.log_batch(run_id, params=[Param(f"part.value_{one}", "0.001") for one in range(PARAMETERS)])
        return run_id

    def epoch(run_id: str, number: int) -> None:
        client.log_batch(run_id, metrics=[Metric(name, 0.5, 0, number) for name in METRICS])

    def run(number: int) -> str:
        run_id = begin(number)
        client.log_batch(run_id, tags=[RunTag("model.sha256", f"{number:064}")])
        client.set_terminated(run_id)
        return run_id

    first = begin(0)
    for number in range(EPOCHS):
        epoch(first, number)
    client.set_terminated(first)
    empty = _pages(database)
    filled_to = 1
    for size in sizes:
        _copy(database, first, TRIAL, range(filled_to, size))
        filled_to = max(filled_to, size)
        found: dict[str, Any] = {"runs": size, "bytes": _pages(database) - empty if size > 1 else 0}
        epochs = partial(_each_epoch, partial(epoch, begin(filled_to)))
        found["epoch_seconds"] = _median(epochs) / _ROUNDS
        found["run_seconds"] = _median(lambda: run(10_000_000))
        found["find_seconds"] = _median(partial(sweep.trial_run_id, size - 1, f"{0:064}"))
        found["stale_seconds"] = _median(sweep.settle_stale)
        found["trials_seconds"] = _median(sweep.trials, rounds=1)
        found["peak_mebibytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(found, flush=True)
        yield found


def _each_epoch(epoch: Callable[[int], None]) -> None:
    for number in range(_ROUNDS):
        epoch(number)


def _copy(database: Path, run_id: str, trial: str, numbers: range) -> None:
    """Copy a run's rows in SQLite, once for each number; the number becomes the copy's run ID and trial tag.

    Args:
        database: File of the database.
        run_id: ID of the run to copy.
        trial: Key of the tag that holds a trial's number.
        numbers: Numbers of the copies.
    """
    with closing(sqlite3.connect(database)) as connection, connection:
        for table in _COPIED:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            shown = ", ".join("?" if name == "run_uuid" else name for name in columns)
            copy = f"INSERT INTO {table} SELECT {shown} FROM {table} WHERE run_uuid = ?"  # noqa: S608 (own names)
            connection.executemany(copy, ((f"{number:032}", run_id) for number in numbers))
        update = "UPDATE tags SET value = ? WHERE key = ? AND run_uuid = ?"
        connection.executemany(update, ((str(number), trial, f"{number:032}") for number in numbers))


def _pages(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        (count,), (size,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
        return int(count * size)


def _median(call: Callable[[], Any], rounds: int = _ROUNDS) -> float:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


_NOTHING = """\
import hydra
@hydra.main(version_base="1.3", config_path=None)
def job(config):
    return 0.5
job()
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def hydra(jobs: int) -> dict[str, float]:
    """Measure seconds, peak memory and files a job of Hydra's basic sweeper and launcher, with jobs that do nothing."""
    with tempfile.TemporaryDirectory() as folder:
        (script := Path(folder, "job.py")).write_text(_NOTHING, "utf-8")
        command = [sys.executable, str(script), "-m", f"+x=range(0,{jobs})", f"hydra.sweep.dir={folder}/sweep"]
        start = time.perf_counter()
        printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        seconds = time.perf_counter() - start
        inodes = sum(1 for _ in Path(folder, "sweep").rglob("*"))
    found = {
        "jobs": jobs,
        "seconds": seconds,
        "peak_mebibytes": int(printed.split()[-1]) / 1024,
        "inodes": inodes / jobs,
    }
    print(found, flush=True)
    return found


def mapped(folder: Path, images: int) -> dict[str, float]:
    """Measure how many images a second are read in batches from a memory-mapped file, at random and in order.

    Args:
        folder: Folder for the file.
        images: Number of images in the file, 784 bytes each.
    """
    path, batch, batches = folder / "images", 150, 500
    generator = np.random.default_rng(0)
    with path.open("wb") as file:
        for _ in range(0, images, 10_000):
            file.write(generator.bytes(min(images, 10_000) * _IMAGE))
    rates = {}
    for name, order in {"random": generator.permutation(images), "in order": np.arange(images)}.items():
        _forget(path)
        pixels = np.memmap(path, np.uint8, "r", shape=(images, _IMAGE))
        start = time.perf_counter()
        for number in range(min(batches, images // batch)):
            pixels[order[number * batch : (number + 1) * batch]].sum()
        rates[name] = min(batches, images // batch) * batch / (time.perf_counter() - start)
        del pixels  # the system drops no cached page that is still mapped
    path.unlink()
    return {"images": images, "random": rates["random"], "in_order": rates["in order"]}


def _forget(path: Path) -> None:
    """Drop a file from the system's page cache, so that the next read comes from the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    run_command(main)
