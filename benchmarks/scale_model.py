"""Extrapolation of measured costs to a million trials and to a hundred million images."""

from typing import Any

from seqmnist.report.publish import Rows, markdown

TRIALS = 1_000_000
EPOCHS = 15
REQUESTS = EPOCHS + 12  # a trial: one request an epoch, and twelve for start, parameters, tags, model and end
SECONDS = {"rnn": 10 + EPOCHS * 1.22, "lstm": 10 + EPOCHS * 4.83}  # a trial on 2 cores: 10 s of start, then the epochs
IMAGES = 100_000_000
TRAINED = {"rnn": 55_000 / 1.22, "lstm": 55_000 / 4.83}  # images a second on 2 cores, from docs/speed.md
BYTES_AN_IMAGE = 28 * 28 + 1 + 24 + 8  # pixels, label, augmentation map, index in the epoch's order


def tables(measured: dict[str, Any]) -> dict[str, str]:
    """Return the Markdown tables of benchmarks/scale.md by the names of their marks in the page."""
    return {
        "store": _store(measured["store"]),
        "hydra": _hydra(measured["hydra"]),
        "trials": _trials(measured),
        "images": _images(measured["mapped"]),
    }


def _store(sizes: list[dict[str, float]]) -> str:
    head = ["runs in the database", "an epoch's metrics", "a run without epochs", "find one trial", "end stale runs"]
    keys = ("epoch_seconds", "run_seconds", "find_seconds", "stale_seconds")
    rows: Rows = [
        [
            f"{one['runs']:,}",
            *(f"{1000 * one[key]:.1f} ms" for key in keys),
            f"{one['trials_seconds']:.2f} s",
            f"{one['peak_mebibytes']:.0f} MiB",
            f"{one['bytes'] / one['runs'] / 1024:.1f} KiB" if one["bytes"] else "–",
        ]
        for one in sizes
    ]
    return markdown([*head, "read all trials", "peak memory so far", "bytes a run"], rows)


def _hydra(measured: list[dict[str, float]]) -> str:
    rows: Rows = [
        [
            f"{one['jobs']:,}",
            f"{one['seconds']:.0f} s",
            f"{1000 * one['seconds'] / one['jobs']:.0f} ms",
            f"{one['peak_mebibytes']:.0f} MiB",
            f"{one['inodes']:.1f}",
        ]
        for one in measured
    ]
    return markdown(["jobs that do nothing", "seconds", "a job", "peak memory", "files and folders a job"], rows)


def million(measured: dict[str, Any]) -> dict[str, float]:
    """Return the costs of a million trials that don't depend on the cell.

    Memory, and the seconds of requests, lie on a line through two measured sizes; the rest is proportional to the
    largest size.
    """
    small, large = measured["store"][0], measured["store"][-1]
    few, many = measured["hydra"]
    return {
        "database_gib": large["bytes"] / large["runs"] * TRIALS / 2**30,
        "read_seconds": _line(small, large, "runs", "trials_seconds"),
        "read_gib": _line(small, large, "runs", "peak_mebibytes") / 1024,
        "find_seconds": _line(small, large, "runs", "find_seconds"),
        "stale_seconds": _line(small, large, "runs", "stale_seconds"),
        "driver_gib": _line(few, many, "jobs", "peak_mebibytes") / 1024,
        "driver_hours": many["seconds"] / many["jobs"] * TRIALS / 3600,
        "hydra_inodes": many["inodes"] * TRIALS,
    }


def _line(small: dict[str, float], large: dict[str, float], size: str, key: str) -> float:
    slope = (large[key] - small[key]) / (large[size] - small[size])
    return large[key] + slope * (TRIALS - large[size])


def _trials(measured: dict[str, Any]) -> str:
    of = million(measured)
    rate = {cell: 500 * REQUESTS / seconds for cell, seconds in SECONDS.items()}
    once = 1 / measured["store"][-1]["epoch_seconds"]
    waiting = TRIALS * (of["find_seconds"] + of["stale_seconds"]) / 2 / 3600
    rows: Rows = [
        *([f"hours of 2 cores, {cell}", f"{TRIALS * one / 3600:,.0f}"] for cell, one in SECONDS.items()),
        *([f"hours of 1,000 cores, {cell}", f"{TRIALS * one / 3600 / 500:,.0f}"] for cell, one in SECONDS.items()),
        *([f"requests a second of 1,000 cores, {cell}", f"{one:,.0f}"] for cell, one in rate.items()),
        ["requests a second that one SQLite writer does", f"{once:,.0f}"],
        ["hours of requests that look for a trial and for stale runs", f"{waiting:,.0f}"],
        ["hours of Hydra's own, one after another", f"{of['driver_hours']:,.0f}"],
        ["GiB of the driver's memory, for jobs and results", f"{of['driver_gib']:.1f}"],
        ["GiB of the database", f"{of['database_gib']:,.0f}"],
        ["seconds and GiB to read all trials for the table", f"{of['read_seconds']:,.0f} and {of['read_gib']:,.1f}"],
        ["files and folders of Hydra's alone", f"{of['hydra_inodes']:,.0f}"],
    ]
    return markdown(["a million trials of 15 epochs", ""], rows)


def _images(mapped: dict[str, float]) -> str:
    rows: Rows = [
        ["GB of pixels", f"{IMAGES * 28 * 28 / 1e9:.1f}"],
        ["GB in memory with labels, maps and order", f"{IMAGES * BYTES_AN_IMAGE / 1e9:.1f}"],
        ["images that 20 GB of memory hold so", f"{20e9 / BYTES_AN_IMAGE:,.0f}"],
        *([f"hours an epoch on 2 cores, {cell}", f"{IMAGES / rate / 3600:.1f}"] for cell, rate in TRAINED.items()),
        *([f"images a second that {cell} trains", f"{rate:,.0f}"] for cell, rate in TRAINED.items()),
        [f"read of a mapped file of {mapped['images']:,} images, in a random order", f"{mapped['random']:,.0f}"],
        ["the same, one after another", f"{mapped['in_order']:,.0f}"],
    ]
    return markdown(["100 million images", ""], rows)
