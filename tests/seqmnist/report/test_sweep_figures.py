from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqmnist.report import sweep_figures


def test_few_values_have_a_mark_each_in_order() -> None:
    heights, marks = sweep_figures._axis_of([150, 50, 100, 50])
    assert heights.tolist() == [1.0, 0.0, 0.5, 0.0]
    assert marks == [(0.0, "50"), (0.5, "100"), (1.0, "150")]


def test_texts_and_none_are_values_too() -> None:
    heights, marks = sweep_figures._axis_of([None, 1.0, None])
    assert [text for _, text in marks] == ["1", "none"]
    assert heights[0] == heights[2] != heights[1]


def test_many_numbers_over_decades_stand_on_a_logarithmic_scale() -> None:
    heights, marks = sweep_figures._axis_of(list(np.geomspace(0.0001, 0.01, 11)))
    np.testing.assert_allclose(heights, np.linspace(0, 1, 11))
    assert [text for _, text in marks] == ["0.0001", "0.001", "0.01"]


@pytest.mark.parametrize("accuracies", [[0.9, 0.95, 0.97], [0.9, 0.9, 0.9]])
def test_figures_are_pictures_with_the_same_bytes_each_time(tmp_path: Path, accuracies: list[float]) -> None:
    pictures = []
    for name in ("one.png", "two.png"):
        columns: dict[str, list[Any]] = {"cell": ["rnn", "lstm", "rnn"], "lr": [0.001, 0.003, 0.002]}
        sweep_figures.parallel_coordinates(tmp_path / name, columns, accuracies)
        sweep_figures.learning_curves(tmp_path / f"curves-{name}", {"rnn": [0.5, 0.6], "lstm": [0.7]})
        pictures.append((tmp_path / name).read_bytes() + (tmp_path / f"curves-{name}").read_bytes())
    assert pictures[0] == pictures[1]
    assert pictures[0].startswith(b"\x89PNG")
