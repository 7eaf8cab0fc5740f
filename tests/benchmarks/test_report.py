from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.image import imread

from benchmarks.report import draw, floor_seconds, pipeline_table, scaling_table, table


def test_the_floor_is_the_time_of_all_operations_at_the_median_peak(measured: Callable[..., dict[str, Any]]) -> None:
    assert floor_seconds(measured("rnn")) == 0.5


def test_the_table_has_medians_ratios_and_the_floor(results: dict[str, Any]) -> None:
    lines = table(results).splitlines()

    assert lines[0] == "python 3.11, keras 3.15"
    assert "| rnn | fast | 2.00 (1.00 to 9.00) | 27,500 | 1.00 | 4.00 | 7.2 s | 700 MiB |" in lines
    assert "| lstm | keras | 5.00 (4.00 to 6.00) | 11,000 | 2.50 | 10.00 |  | 700 MiB |" in lines
    assert any(line.startswith("| gru | floor: ") and "| 0.50 |" in line for line in lines)
    assert {line.count("|") for line in lines[2:]} == {9}


def test_the_scaling_table_has_every_workload(results: dict[str, Any]) -> None:
    lines = scaling_table(results).splitlines()

    assert "| lstm | 150 | 784 x 1 | 150 | 2.00 | 5.00 | 4.00 |" in lines
    assert len(lines) == 2 + 3 * 4


def test_the_pipelines_table_divides_the_seconds_of_each_side(pipeline_results: dict[str, Any]) -> None:
    lines = pipeline_table(pipeline_results).splitlines()

    assert "training 15 epochs" in lines[2]
    assert lines[4:] == [
        "| rnn | the stage | 6.0 (5.0 to 9.0) | 1.00 | 3.0 | 4.0 |",
        "| rnn | Keras's layers in fit | 11.0 (10.0 to 12.0) | 1.83 | 7.5 | 3.5 |",
    ]


def test_the_figure_is_drawn(results: dict[str, Any], tmp_path: Path) -> None:
    draw(results, tmp_path / "figure.png")

    assert imread(tmp_path / "figure.png").shape[1] == 1800
