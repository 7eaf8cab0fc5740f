from dataclasses import replace
from pathlib import Path
from typing import Any

from accord.files import sha256_file
from accord.sweep import summary
from accord.sweep.folders import Result, TrialSettings
from accord.tracking.sweeps import Trial


def trial(number: int, accuracy: float | None, *, status: str = "FINISHED", **parameters: Any) -> Trial:
    metrics = {}
    if accuracy is not None:
        metrics = {"selected.val.accuracy": accuracy, "selected.test.accuracy": accuracy - 0.01, "selected.epoch": 1.0}
    error = "" if accuracy is not None else "it diverged"
    return Trial(number, f"id{number}", f"trial {number}", status, error, 0.5, "", parameters, metrics)


TRIALS = [
    trial(0, 0.91, units=8, seed=1),
    trial(1, 0.95, units=8, seed=2),
    trial(2, 0.94, units=9, seed=1),
    trial(3, 0.94, units=9, seed=2),
    trial(4, None, status="FAILED", units=10, seed=1),
]


def test_the_best_comes_first_and_the_earlier_one_on_ties() -> None:
    assert [one.number for one in summary.best_first(TRIALS)] == [1, 2, 3, 0]


def test_a_configuration_is_judged_by_the_mean_of_its_seeds() -> None:
    best, other = summary.configurations(TRIALS)
    assert sorted(one.number for one in best) == [2, 3], "0.94 on average, the other 0.93 with the best single trial"
    assert sorted(one.number for one in other) == [0, 1]


def test_only_parameters_that_differ_are_columns() -> None:
    assert summary.varied([trial(0, 0.9, units=8, rate=0.1), trial(1, 0.8, units=8, rate=0.2)]) == {"rate": [0.1, 0.2]}
    assert summary.varied([trial(0, 0.9, a=None), trial(1, 0.8, a=1)]) == {"a": [None, 1]}


def test_every_trial_is_a_row() -> None:
    head, *rows = summary.rows(TRIALS)
    assert head[:5] == ["trial", "name", "status", "units", "seed"]
    assert [row[0] for row in rows] == [0, 1, 2, 3, 4]
    assert dict(zip(head, rows[1], strict=True))["test.accuracy"] == 0.95 - 0.01
    assert dict(zip(head, rows[4], strict=True))["error"] == "it diverged"


def test_the_table_lists_failures_and_only_the_best_trials() -> None:
    lines = summary.table(TRIALS).splitlines()
    assert len(lines) == 1 + len(TRIALS)
    assert lines[0] == "trial           val accuracy  test accuracy  minutes"
    assert lines[1] == "    1  trial 1        0.9500         0.9400      0.5"
    assert lines[-1].endswith("FAILED: it diverged")
    assert len({len(line) for line in lines[:-1]}) == 1, "columns line up"
    many = summary.table([trial(number, 0.5) for number in range(30)]).splitlines()
    assert "... and 20 more" in many[-1]


PRUNED = [*TRIALS, replace(trial(5, 0.99, units=11, seed=1), pruned=3), replace(trial(6, None, units=8), pruned=0)]
PRUNED[-1] = replace(PRUNED[-1], status="FINISHED", error="")


def test_a_pruned_trial_is_never_the_best_nor_a_seed_of_a_configuration() -> None:
    assert [one.number for one in summary.best_first(PRUNED)] == [1, 2, 3, 0]
    assert all(one.pruned is None for group in summary.configurations(PRUNED) for one in group)


def test_a_row_says_in_which_epoch_a_trial_was_pruned() -> None:
    head, *rows = summary.rows(PRUNED)
    status = head.index("status")
    assert [row[status] for row in rows] == [
        *["FINISHED"] * 4,
        "FAILED",
        "PRUNED at epoch 3",
        "PRUNED at epoch 0",
    ]
    assert dict(zip(head, rows[6], strict=True))["val.accuracy"] is None


def test_the_table_names_pruned_trials_in_a_line_of_their_own() -> None:
    lines = summary.table(PRUNED).splitlines()
    assert len(lines) == 1 + len(TRIALS) + 1
    assert lines[-2:] == ["       pruned: 5, 6", "    4  trial 4 FAILED: it diverged"]
    assert "pruned" not in summary.table(TRIALS)
    assert summary.table(PRUNED[5:]).splitlines()[1:] == ["       pruned: 5, 6"], "also where no other trial is"


def test_folders_say_which_trials_were_pruned(tmp_path: Path) -> None:
    results: list[tuple[Any, float | None, int | None]] = [
        ("FINISHED", 0.5, 1),
        ("PRUNED", None, 2),
        ("PRUNED", 0.75, 0),  # it finished before its search pruned it
        ("FAILED", None, None),
    ]
    for number, (status, accuracy, epoch) in enumerate(results):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "params.yaml").touch()
        TrialSettings(f"trial {number}", str(tmp_path), number, "/data", 1).write(folder)
        Result(status, sha256_file(folder / "params.yaml"), accuracy, epoch).write(folder)
    trials = summary.trials_with_result(tmp_path)
    assert [(one.status, one.pruned) for one in trials] == [
        ("FINISHED", None),
        ("FINISHED", 2),
        ("FINISHED", 0),
        ("FAILED", None),
    ]
    assert summary.pruned_at(tmp_path) == {1: 2, 2: 0}
    assert [one.number for one in summary.best_first(trials)] == [0]
