from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seqmnist.report.figures import confusion_matrix, learning_curves
from seqmnist.training.history import METRICS, Row

Histories = dict[str, list[list[Row]]]


def history(seeds: int, epochs: int, shift: float = 0.0) -> list[list[Row]]:
    """Losses that fall and accuracies that rise, each seed's a little apart."""
    rows = []
    for seed in range(seeds):
        losses = [(1 + shift + 0.1 * seed) / (1 + epoch) for epoch in range(epochs)]
        metrics = [{name: loss if name.endswith("loss") else 1 - loss / 3 for name in METRICS} for loss in losses]
        rows.append([Row(seed, epoch, one) for epoch, one in enumerate(metrics)])
    return rows


@pytest.fixture
def draw(make_measures: Any) -> Any:
    """Draws the learning curves of cells, each with the rows of its seeds."""

    def draw(path: Path, histories: Histories) -> None:
        one = make_measures()
        learning_curves(path, {cell: [replace(one, rows=rows) for rows in seeds] for cell, seeds in histories.items()})

    return draw


def pixels(path: Path) -> tuple[tuple[int, int], int]:
    """Size in pixels and dots per inch of a PNG file."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.size, round(image.info["dpi"][0])


HISTORIES: dict[str, Histories] = {
    "two cells": {"rnn": history(1, 5), "lstm": history(1, 5, shift=0.5)},
    "one epoch": {"rnn": history(1, 1), "lstm": history(1, 1)},
    "three seeds": {"rnn": history(3, 4), "lstm": history(3, 4)},
    "three cells": {"rnn": history(1, 2), "lstm": history(2, 3), "big": history(1, 4)},
}


@pytest.mark.parametrize("histories", HISTORIES.values(), ids=HISTORIES)
def test_learning_curves_are_a_png_of_300_dpi(tmp_path: Path, draw: Any, histories: Histories) -> None:
    path = tmp_path / "new" / "curves.png"

    draw(path, histories)

    assert pixels(path) == ((3600, 1500), 300)
    assert list(path.parent.iterdir()) == [path]


def test_the_same_histories_give_the_same_bytes_and_others_do_not(tmp_path: Path, draw: Any) -> None:
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]

    draw(paths[0], HISTORIES["two cells"])
    draw(paths[1], HISTORIES["two cells"])
    draw(paths[2], {"rnn": history(1, 5), "lstm": history(1, 5, shift=0.4)})

    first, again, other = (path.read_bytes() for path in paths)
    assert first == again != other


def test_a_confusion_matrix_is_a_png_of_300_dpi_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    matrix = np.diag(np.arange(950, 960))
    matrix[3, 5] = 17
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]

    confusion_matrix(paths[0], matrix, "rnn: 9,562 test images")
    confusion_matrix(paths[1], matrix, "rnn: 9,562 test images")
    confusion_matrix(paths[2], matrix.T, "rnn: 9,562 test images")

    first, again, transposed = (path.read_bytes() for path in paths)
    assert pixels(paths[0]) == ((2100, 1920), 300)
    assert first == again != transposed


def test_a_class_without_images_is_drawn(tmp_path: Path) -> None:
    matrix = np.diag([5, 0, *[5] * 8])

    confusion_matrix(tmp_path / "confusion.png", matrix, "few")

    assert pixels(tmp_path / "confusion.png")[1] == 300
