"""Damaged files, which are made again with the same bytes or named in one line."""

from typing import Any

import pytest

from tests.accord.system.faults.killing import STAGE, Command
from tests.damage import cache_entry, damage_file
from tests.projects import Project

pytestmark = pytest.mark.slow

# Output, damage, and whether every test run has the case.
OUTPUTS = [
    ("models/sgd/model.pickle", "flip", True),
    ("models/mlp/model.pickle", "halve", False),
    ("models/sgd/model.pickle", "remove", False),
    ("data/prepared/train.npy", "flip", True),
    ("data/prepared/test.npy", "halve", False),
    ("data/prepared/val.npy", "empty", False),
    ("reports/train/sgd/history.csv", "halve", False),
    ("reports/train/mlp/history.csv", "flip", True),
    ("reports/metrics.json", "flip", False),
    ("reports/metrics.json", "remove", False),
]
CACHED = ["data/prepared/train.npy", "models/sgd/model.pickle", "reports/metrics.json"]
CACHE_DAMAGES = ["flip", "halve"]
STORES = ["overwrite the start", "halve", "overwrite pages"]
KILLED_AT = 20  # epoch
POLL_SECONDS = 0.05


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


def test_a_damaged_output_is_made_again(
    output: str, damage: str, victim: Project, fault: Any, assert_same: Any
) -> None:
    damage_file(victim.root / output, damage)
    fault.inject("damaged output", f"{output}: {damage}")

    victim.succeed("dvc", "repro")

    assert_same(victim)


def test_a_damaged_entry_of_the_cache_is_found_and_made_again(
    cached: str, damage: str, victim: Project, repair: Any, fault: Any, assert_same: Any
) -> None:
    damage_file(cache_entry(victim, cached), damage)
    (victim.root / cached).unlink()  # DVC would restore it from the cache
    fault.inject("damaged entry of DVC's cache", f"{cached}: {damage}")

    repair(victim)
    victim.succeed("dvc", "repro")

    assert_same(victim)


@pytest.mark.parametrize("name", ["dvc.lock", ".dvc/tmp/rwlock"])
def test_a_half_written_file_of_dvc_is_repaired(
    name: str, victim: Project, repair: Any, fault: Any, assert_same: Any
) -> None:
    path = victim.root / name
    text = path.read_text() if name == "dvc.lock" else '{"data/prepared": {"write": {"pid": 1, "cmd"'
    path.write_text(text[: len(text) // 2 + 7])
    fault.inject("half-written file of DVC", name)

    repair(victim)
    victim.succeed("dvc", "repro")

    assert_same(victim)


@pytest.mark.campaign  # needs many epochs; test_resume.py damages the newest one
def test_damaged_checkpoints_cost_epochs_and_no_bits(
    checkpoints: int, victim: Project, fault: Any, forget: Any, assert_same: Any, runs: Any
) -> None:
    forget(victim, "train@sgd")
    command = Command(victim, ["dvc", "repro", "train@sgd"])
    while f"train@sgd  epoch {KILLED_AT} " not in command.output:
        assert command.runs_for(POLL_SECONDS), command.output
    (stage,) = command.below(STAGE)
    stage.kill()
    command.process.wait()
    files = sorted((victim.root / "checkpoints/train@sgd").glob("*/after-*"))
    assert len(files) >= 2  # 3 if the kill came before the oldest was removed
    damaged = files[-1:] if checkpoints == 1 else files
    for path in damaged:
        damage_file(path / "learner.pickle", "flip")
    fault.inject("damaged checkpoint", "the newest" if checkpoints == 1 else "both")

    result = victim.succeed("dvc", "repro", "train@sgd")

    assert result.output.count("is damaged") == len(damaged)
    assert ("resuming at epoch" in result.output) == (checkpoints == 1)
    assert_same(victim)
    assert [run.info.status for run in runs(victim, strictly=True) if run.info.run_name == "train@sgd"].count(
        "FINISHED"
    ) == 1


def test_a_damaged_store_is_one_line_and_sync_fills_a_new_one(
    store_damage: str, victim: Project, fault: Any, forget: Any, one_line: Any, assert_same: Any, runs: Any
) -> None:
    forget(victim, "prepare")
    victim.succeed("dvc", "repro", "prepare")
    forget(victim, "prepare")
    store = victim.root / "mlflow.db"
    damage_file(store, store_damage)
    fault.inject("damaged mlflow.db", store_damage)

    assert "mlflow.db" in one_line(victim.run("dvc", "repro", "prepare"))

    store.rename(victim.root / "mlflow.db.damaged")
    victim.succeed("dvc", "repro", "prepare")
    assert_same(victim)
    victim.succeed("python", "-m", "digits", "sync", PYTHONPATH="src")
    finished = {run.info.run_name for run in runs(victim, strictly=True) if run.info.status == "FINISHED"}
    assert finished == {"prepare", "train@sgd", "train@mlp", "evaluate"}
    fault.refused()
