from typing import Any

from accord.sweep import summary
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


def test_only_what_differs_is_a_column() -> None:
    assert summary.varied([trial(0, 0.9, units=8, rate=0.1), trial(1, 0.8, units=8, rate=0.2)]) == {"rate": [0.1, 0.2]}
    assert summary.varied([trial(0, 0.9, a=None), trial(1, 0.8, a=1)]) == {"a": [None, 1]}


def test_every_trial_is_a_row() -> None:
    head, *rows = summary.rows(TRIALS)
    assert head[:5] == ["trial", "name", "status", "units", "seed"]
    assert [row[0] for row in rows] == [0, 1, 2, 3, 4]
    assert dict(zip(head, rows[1], strict=True))["test.accuracy"] == 0.95 - 0.01
    assert dict(zip(head, rows[4], strict=True))["error"] == "it diverged"


def test_the_table_says_what_failed_and_leaves_out_the_many() -> None:
    lines = summary.table(TRIALS).splitlines()
    assert len(lines) == 1 + len(TRIALS)
    assert lines[0] == "trial           val accuracy  test accuracy  minutes"
    assert lines[1] == "    1  trial 1        0.9500         0.9400      0.5"
    assert lines[-1].endswith("FAILED: it diverged")
    assert len({len(line) for line in lines[:-1]}) == 1, "columns line up"
    many = summary.table([trial(number, 0.5) for number in range(30)]).splitlines()
    assert "... and 20 more" in many[-1]
