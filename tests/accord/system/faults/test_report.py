"""The results of the campaign, and the page that has them."""

import json
from collections import Counter
from pathlib import Path

from tests.accord.system.faults import report
from tests.accord.system.faults.report import PLAN, Case

ROOT = Path(__file__).parents[4]
EVERY = [Case(fault, "recovered", "DVC before the stage") for fault, count in PLAN.items() for _ in range(count)]
PAGE = """\
Before.
<!-- faults: outcomes -->
an old table
<!-- end -->
Between.
<!-- faults: surroundings -->
<!-- end -->
After.
"""


def test_the_page_has_the_measured_results_and_nothing_was_lost() -> None:
    results = json.loads((ROOT / report.JSON).read_text())
    page = (ROOT / report.PAGE).read_text()

    assert _by_kind({fault: one["planned"] for fault, one in results["faults"].items()}) == _by_kind(PLAN)
    assert all(one["injected"] <= one["planned"] for one in results["faults"].values())
    assert [fault for fault, one in results["faults"].items() if one["lost"]] == []
    assert report.table(results) in page
    assert report.surroundings(results) in page


def _by_kind(planned: dict[str, int]) -> dict[str, int]:
    """Return the count of each kind of fault: kills are one kind, whatever stages a project has."""
    kinds = Counter[str]()
    for fault, count in planned.items():
        kinds[fault.partition(":")[0]] += count
    return dict(kinds)


def test_more_than_a_hundred_kills_are_planned() -> None:
    assert _by_kind(PLAN)["SIGKILL"] == 110
    assert sum({**report.KILLS, **report.KILLS_OF_CELLS}.values()) == 110


def test_outcomes_are_counted_by_fault() -> None:
    cases = [Case("full disk", "refused", "evaluate"), Case("full disk", "lost"), Case("clock set back", "recovered")]

    counted = report.summary(cases)

    assert list(counted) == list(PLAN)
    assert counted["full disk"] == {
        "planned": PLAN["full disk"],
        "injected": 2,
        "recovered": 0,
        "refused": 1,
        "lost": 1,
        "where": {"evaluate": 1},
    }
    assert counted["clock set back"]["recovered"] == 1


def test_results_are_written_with_the_tables_between_their_marks(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / report.PAGE).write_text(PAGE)

    assert report.injected(tmp_path) == 0
    report.write(tmp_path, EVERY, minutes=12.345, cores=2)

    assert report.injected(tmp_path) == len(EVERY)
    results = json.loads((tmp_path / report.JSON).read_text())
    assert (results["minutes"], results["cores"]) == (12.3, 2)
    page = (tmp_path / report.PAGE).read_text()
    assert "an old table" not in page
    assert "| SIGKILL: sweep | 20 | 20 | 20 | 0 | 0 |" in page
    assert f"| **all** | **{len(EVERY)}** | **{len(EVERY)}** | **{len(EVERY)}** | **0** | **0** |" in page
    assert "| streams | `DVC before the stage` |  |" in page
    assert page.startswith("Before.\n")
    assert page.endswith("<!-- end -->\nAfter.\n")
