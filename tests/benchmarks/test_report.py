from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from benchmarks.report import floor_seconds, scaling_table, table, write
from benchmarks.variants import PEAK_FLOP
from benchmarks.workload import Workload

VARIANTS = {"fast": [2.0, 1.0, 9.0], "keras": [4.0, 5.0, 6.0]}


def measured(cell: str, **work: int) -> dict[str, Any]:
    """Figures of a machine whose best product takes 1, 2 and 3 seconds."""
    workload = Workload(cell, **work)
    figures = {name: {"seconds": seconds, "peak_mebibytes": 700.0} for name, seconds in VARIANTS.items()}
    return {"workload": vars(workload), "flop": PEAK_FLOP // 4, "peak_seconds": [3.0, 1.0, 2.0], "variants": figures}


@pytest.fixture
def results() -> dict[str, Any]:
    compared = [measured(cell) for cell in ("rnn", "lstm", "gru")]
    for one in compared:
        one["variants"]["fast"]["first_step_seconds"] = 7.25
    sizes: list[dict[str, int]] = [{"units": 50}, {}, {"steps": 784}, {"batch": 1024}]
    scaling = [measured(cell, images=550, **size) for cell in ("rnn", "lstm", "gru") for size in sizes]
    machine = {"processor": "Abacus", "cores": 2, "python": "3.11"}
    return {"machine": machine, "compared": compared, "scaling": scaling}


def test_the_floor_is_the_work_at_the_median_peak() -> None:
    assert floor_seconds(measured("rnn")) == 0.5


def test_the_table_has_medians_ratios_and_the_floor(results: dict[str, Any]) -> None:
    lines = table(results).splitlines()

    assert lines[0] == "2 cores, Abacus, python 3.11"
    assert "| rnn | fast | 2.00 (1.00 to 9.00) | 27,500 | 1.00 | 4.00 | 7.2 s | 700 MiB |" in lines
    assert "| lstm | keras | 5.00 (4.00 to 6.00) | 11,000 | 2.50 | 10.00 |  | 700 MiB |" in lines
    assert any(line.startswith("| gru | floor: ") and "| 0.50 |" in line for line in lines)
    assert {line.count("|") for line in lines[2:]} == {9}


def test_the_scaling_table_has_every_workload(results: dict[str, Any]) -> None:
    lines = scaling_table(results).splitlines()

    assert "| lstm | 150 | 784 x 1 | 150 | 2.00 | 5.00 | 4.00 |" in lines
    assert len(lines) == 2 + 3 * 4


def test_tables_and_figure_are_written(results: dict[str, Any], tmp_path: Path) -> None:
    write(results, tmp_path)

    text = (tmp_path / "results.md").read_text()
    assert table(results) in text
    assert scaling_table(results) in text
    assert imread(tmp_path / "results.png").shape[1] == 1800
