import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqmnist.config import View
from seqmnist.data.splits import Split
from seqmnist.measure.measures import Measures
from seqmnist.report.report import curves, draw, write_tables
from seqmnist.training.history import METRICS, Row


def predicting(one: Measures, *classes: int) -> Measures:
    return replace(one, probabilities=np.eye(10, dtype=np.float32)[list(classes)])


def read(path: str) -> list[list[str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_tables_hold_each_prediction_and_the_scores_of_each_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_measures: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    test = Split(np.zeros((3, 28, 28), np.uint8), np.array([4, 4, 7], np.uint8))
    measured = {
        "rnn": [predicting(make_measures(42), 4, 7, 7), predicting(make_measures(43), 4, 4, 7)],
        "lstm": [predicting(make_measures(42), 4, 4, 4)],
    }

    write_tables(measured, test)

    assert read("reports/predictions/rnn.csv") == [
        ["seed", "image", "label", "predicted"],
        ["42", "0", "4", "4"],
        ["42", "1", "4", "7"],
        ["42", "2", "7", "7"],
        ["43", "0", "4", "4"],
        ["43", "1", "4", "4"],
        ["43", "2", "7", "7"],
    ]
    assert [line[3] for line in read("reports/predictions/lstm.csv")] == ["predicted", "4", "4", "4"]
    head, *classes = read("reports/classes.csv")
    assert head == ["cell", "seed", "digit", "images", "precision", "recall"]
    assert [line[:3] for line in classes] == [
        [cell, seed, str(digit)] for cell, seed in [("rnn", "42"), ("rnn", "43"), ("lstm", "42")] for digit in range(10)
    ]
    assert classes[4] == ["rnn", "42", "4", "2", "1.0", "0.5"]
    assert classes[7] == ["rnn", "42", "7", "1", "0.5", "1.0"]


def test_curves_are_means_over_seeds_under_names_without_dots() -> None:
    two = [[Row(seed, epoch, dict.fromkeys(METRICS, float(seed * (epoch + 1)))) for epoch in (0, 1)] for seed in (1, 3)]

    header, *rows = curves({"rnn": two, "lstm": two[1:]})

    assert header == ["cell", "epoch", *(name.replace(".", "_") for name in METRICS)]
    assert rows == [
        ["rnn", 0, *[2.0] * len(METRICS)],
        ["rnn", 1, *[4.0] * len(METRICS)],
        ["lstm", 0, *[3.0] * len(METRICS)],
        ["lstm", 1, *[6.0] * len(METRICS)],
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cells", "view", "gates"), [(["rnn"], "columns", False), (["rnn", "lstm", "gru"], "permuted_pixels", True)]
)
def test_every_figure_is_drawn_for_any_cells_and_views(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_measures: Any,
    labels: Any,
    cells: list[str],
    view: View,
    gates: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    test = Split(np.zeros((len(labels), 28, 28), np.uint8), labels)
    measured = {cell: [make_measures(seed) for seed in (42, 43)] for cell in cells}
    if not gates:
        measured = {cell: [replace(one, gates={}) for one in models] for cell, models in measured.items()}

    pictures = draw(measured, test, view)

    assert {picture.path for picture in pictures} == set(Path("reports/figures").iterdir())
    assert len(pictures) == 5 + 2 * len(cells)
    beliefs = next(picture for picture in pictures if picture.path.stem == "beliefs")
    assert ("LSTM" in beliefs.caption) is gates
    assert all(cell in picture.alt for picture in pictures[:4] for cell in cells)
