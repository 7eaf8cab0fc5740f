import math
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqmnist.demo import strokes
from seqmnist.demo.strokes import image_of

POINTS = st.tuples(st.floats(0, 1), st.floats(0, 1))
STROKES = st.lists(st.lists(POINTS, min_size=1, max_size=8), min_size=1, max_size=4)
RING = [(0.5 + 0.3 * math.sin(k / 5), 0.5 - 0.2 * math.cos(k / 5)) for k in range(32)]


def box(image: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """First and last row, first and last column with more than a trace of ink."""
    rows, columns = (np.flatnonzero(image.max(axis=axis) > 40) for axis in (1, 0))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def mass(image: NDArray[np.uint8]) -> tuple[float, float]:
    rows, columns = np.indices(image.shape) + 0.5
    return float((rows * image).sum() / image.sum()), float((columns * image).sum() / image.sum())


@pytest.mark.parametrize("drawing", [[], [[]]])
def test_nothing_drawn_is_a_blank_image(drawing: list[list[tuple[float, float]]]) -> None:
    image = image_of(drawing)
    assert image.dtype == np.uint8
    assert image.shape == (28, 28)
    assert image.max() == 0


def test_the_larger_side_takes_twenty_pixels_and_the_mass_is_in_the_middle() -> None:
    image = image_of([RING])
    top, bottom, left, right = box(image)
    assert right - left + 1 in (20, 21)
    assert bottom - top + 1 in (13, 14, 15), "the ratio of the sides is kept"
    assert mass(image) == pytest.approx((14.5, 14.5), abs=0.1), "as the mean of MNIST's digits"
    assert image.max() == 255


@pytest.mark.parametrize(("scale", "shift"), [(0.3, 0.0), (0.5, 0.4), (1.0, 0.0)])
def test_size_and_place_of_the_drawing_do_not_matter(scale: float, shift: float) -> None:
    moved = [(x * scale + shift, y * scale + shift) for x, y in RING]
    difference = image_of([moved]).astype(int) - image_of([RING])
    assert np.abs(difference).max() <= 40, "lines differ by the rounding of their edges alone"


def test_an_upright_line_is_a_one_not_a_square() -> None:
    top, bottom, left, right = box(image_of([[(0.5, 0.2), (0.5, 0.8)]]))
    assert bottom - top + 1 in (20, 21)
    assert right - left + 1 in (2, 3, 4)


def test_a_dot_stays_small() -> None:
    assert 0 < (image_of([[(0.2, 0.9)]]) > 40).sum() < 20


def test_x_is_a_column_and_y_a_row() -> None:
    image = image_of([[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8)]])  # along the top, then down at the right
    top, bottom, left, right = box(image)
    assert image[top + 1, left + 2] > 200
    assert image[bottom - 1, right - 1] > 200
    assert image[bottom - 1, left + 2] == 0


def test_a_drawing_of_many_strokes_is_drawn_only_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Mock(side_effect=strokes._drawn)
    monkeypatch.setattr(strokes, "_drawn", drawn)
    image_of([RING] * 50)
    assert drawn.call_count == 2


@given(drawing=STROKES)
def test_any_drawing_becomes_an_image_with_its_ink_inside(drawing: list[list[tuple[float, float]]]) -> None:
    image = image_of(drawing)
    assert image.shape == (28, 28)
    assert image.sum() > 0
