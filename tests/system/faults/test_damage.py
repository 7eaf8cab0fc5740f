"""Damaged files are made again with the same bytes, or named in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.faults.killing import Command

# An output, what is done to it, and whether it is tried in every test run.
OUTPUTS = [
    ("models/rnn/seed-42.weights.h5", "flip", True),
    ("models/lstm/seed-42.weights.h5", "halve", False),
    ("models/rnn/model.json", "remove", False),
    ("data/raw/train-images-idx3-ubyte", "flip", True),
    ("data/raw/t10k-labels-idx1-ubyte", "halve", False),
    ("data/processed/train.images.npy", "flip", True),
    ("data/processed/splits.json", "empty", False),
    ("reports/train/rnn/history.csv", "halve", False),
    ("reports/metrics.json", "flip", False),
    ("reports/index.html", "remove", False),
]
CACHED = ["data/processed/train.images.npy", "models/rnn/seed-42.weights.h5", "reports/metrics.json"]
CACHE_DAMAGES = ["flip", "halve"]
STORES = ["overwrite the start", "halve", "overwrite pages"]
PAGE = 4096  # bytes of SQLite's
KILLED_AT = 20  # the epoch
WAIT = 0.05  # seconds between looks


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    is_campaign = metafunc.config.getoption("campaign")
    if "output" in metafunc.fixturenames:
        chosen = [(path, damage) for path, damage, always in OUTPUTS if is_campaign or always]
        metafunc.parametrize(("output", "damage"), chosen)
    if "cached" in metafunc.fixturenames:
        every = [(path, damage) for path in CACHED for damage in CACHE_DAMAGES]
        metafunc.parametrize(("cached", "damage"), every if is_campaign else every[:1])
    if "store_damage" in metafunc.fixturenames:
        metafunc.parametrize("store_damage", STORES if is_campaign else STORES[:1])
    if "checkpoints" in metafunc.fixturenames:
        metafunc.parametrize("checkpoints", [1, 2])


def flip(path: Path) -> None:
    """Change one byte in the midst."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def overwrite(path: Path, start: int, stop: int) -> None:
    content = bytearray(path.read_bytes())
    content[start:stop] = bytes(stop - start)
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flip": flip,
    "halve": halve,
    "empty": empty,
    "remove": remove,
    "overwrite the start": lambda path: overwrite(path, 0, 100),  # of a database: its header
    "overwrite pages": lambda path: overwrite(path, PAGE, 9 * PAGE),
}


def damage_file(path: Path, kind: str) -> None:
    """Damage a file and leave its mode as it was."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    DAMAGES[kind](path)
    if path.exists():
        path.chmod(mode)


def test_a_damaged_output_is_made_again(output: str, damage: str, victim: Any, fault: Any, assert_same: Any) -> None:
    damage_file(victim.root / output, damage)
    fault.inject("damaged output", f"{output}: {damage}")

    victim.succeed("dvc", "repro")

    assert_same(victim)


def test_a_damaged_entry_of_the_cache_is_found_and_made_again(
    cached: str, damage: str, victim: Any, repair: Any, fault: Any, assert_same: Any
) -> None:
    damage_file(cache_entry(victim, cached), damage)
    (victim.root / cached).unlink()  # DVC would restore it from the cache
    fault.inject("damaged entry of DVC's cache", f"{cached}: {damage}")

    repair(victim)
    victim.succeed("dvc", "repro")

    assert_same(victim)


def cache_entry(project: Any, name: str) -> Path:
    """The file in DVC's cache that has an output's content."""
    hashes = project.output_hashes()
    (out,) = [path for path in hashes if name == path or name.startswith(f"{path}/")]
    cache = Path(project.root, ".dvc/cache/files/md5")
    digest: str = hashes[out]
    if out != name:
        listing = json.loads((cache / digest[:2] / digest[2:]).read_text())
        (digest,) = [one["md5"] for one in listing if f"{out}/{one['relpath']}" == name]
    return cache / digest[:2] / digest[2:]


@pytest.mark.parametrize("name", ["dvc.lock", ".dvc/tmp/rwlock"])
def test_a_half_written_file_of_dvc_is_mended(
    name: str, victim: Any, repair: Any, fault: Any, assert_same: Any
) -> None:
    path = victim.root / name
    text = path.read_text() if name == "dvc.lock" else '{"data/raw": {"write": {"pid": 1, "cmd"'
    path.write_text(text[: len(text) // 2 + 7])
    fault.inject("half-written file of DVC", name)

    repair(victim)
    victim.succeed("dvc", "repro")

    assert_same(victim)


@pytest.mark.campaign  # it needs many epochs; test_resume.py damages the newest
def test_damaged_checkpoints_cost_epochs_and_no_bits(
    checkpoints: int, victim: Any, fault: Any, forget: Any, assert_same: Any, runs: Any
) -> None:
    forget(victim, "train@rnn")
    command = Command(victim, ["dvc", "repro", "train@rnn"])
    while f"train@rnn {KILLED_AT:>2}/" not in command.output:
        assert command.runs_for(WAIT), command.output
    (stage,) = command.below("seqmnist.stages")
    stage.kill()
    command.process.wait()
    files = sorted((victim.root / "checkpoints/rnn-seed-42").glob("*/after-*"))
    assert len(files) == 2
    for path in files[-checkpoints:]:
        damage_file(path / "state.npz", "flip")
    fault.inject("damaged checkpoint", "the newest" if checkpoints == 1 else "both")

    result = victim.succeed("dvc", "repro", "train@rnn")

    assert result.output.count("is damaged") == checkpoints
    assert ("resuming at epoch" in result.output) == (checkpoints == 1)
    assert_same(victim)
    assert [run.info.status for run in runs(victim, strictly=True) if run.info.run_name == "train@rnn"].count(
        "FINISHED"
    ) == 1


def test_a_damaged_store_is_one_line_and_sync_fills_a_new_one(
    store_damage: str, victim: Any, fault: Any, forget: Any, one_line: Any, assert_same: Any, runs: Any
) -> None:
    forget(victim, "preprocess")
    victim.succeed("dvc", "repro", "preprocess")
    forget(victim, "preprocess")
    store = victim.root / "mlflow.db"
    damage_file(store, store_damage)
    fault.inject("damaged mlflow.db", store_damage)

    assert "mlflow.db" in one_line(victim.run("dvc", "repro", "preprocess"))

    store.rename(victim.root / "mlflow.db.damaged")
    victim.succeed("dvc", "repro", "preprocess")
    assert_same(victim)
    victim.succeed("python", "-m", "seqmnist", "sync", PYTHONPATH="src")
    finished = {run.info.run_name for run in runs(victim, strictly=True) if run.info.status == "FINISHED"}
    assert finished == {"download", "preprocess", "train@rnn", "train@lstm", "evaluate"}
    fault.refused()
