"""Conversion of pen strokes to an image like MNIST's: larger side 20 pixels, centre of mass in the middle of 28 x 28.

MNIST's authors did the same (LeCun, Bottou, Bengio and Haffner, *Gradient-based learning applied to document
recognition*, 1998, section III.A). In MNIST's files, the mass is at (14.5, 14.5) on average. Strokes are scaled, not
pixels, so the line is as thick in a small drawing as in a large one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seqmnist.data.splits import SIZE

Stroke = Sequence[tuple[float, float]]

_BOX_PIXELS = 20  # larger side of a digit, with the line's thickness
_PEN_PIXELS = 2.4  # thickness of MNIST's lines
_OVERSAMPLING = 16  # factor by which lines are drawn larger, for smooth edges
_MIN_SIZE = 0.1  # fraction of the canvas; smaller drawings are scaled as if this large, so a dot stays a dot


def image_of(strokes: Sequence[Stroke]) -> NDArray[np.uint8]:
    """Convert a drawing to an image like MNIST's: uint8 [28, 28], 0 where nothing is drawn.

    Args:
        strokes: Points (x, y) of each stroke, as fractions of the canvas, from its top left corner.
    """
    lines = [np.array(stroke, float) for stroke in strokes if len(stroke)]
    if not lines:
        return np.zeros((SIZE, SIZE), np.uint8)
    points = np.concatenate(lines)  # [points, 2]
    low, high = points.min(axis=0), points.max(axis=0)  # each [2]
    scale = (_BOX_PIXELS - _PEN_PIXELS) / max((high - low).max(), _MIN_SIZE)
    centred = [(line - (low + high) / 2) * scale + SIZE / 2 for line in lines]
    shift = _to_centre(_drawn(centred))
    return _drawn([line + shift for line in centred])


def _to_centre(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the shift (x, y) in pixels that centres an image's mass. It never moves the digit over the edge."""
    from scipy.ndimage import center_of_mass

    offset = np.array(center_of_mass(image))[::-1] + 0.5  # (x, y)
    margin = (SIZE - _BOX_PIXELS) / 2
    shift: NDArray[np.float64] = np.clip((SIZE + 1) / 2 - offset, -margin, margin)
    return shift


def _drawn(lines: list[NDArray[np.float64]]) -> NDArray[np.uint8]:
    """Draw lines [points, 2], in pixels, as an image uint8 [28, 28] with smooth edges."""
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (SIZE * _OVERSAMPLING, SIZE * _OVERSAMPLING))
    pen = ImageDraw.Draw(canvas)
    radius = _PEN_PIXELS / 2 * _OVERSAMPLING
    for line in lines:
        fine = [(float(x), float(y)) for x, y in line * _OVERSAMPLING]
        pen.line(fine, fill=255, width=round(2 * radius))
        for x, y in fine:  # round ends and joints
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(canvas.reduce(_OVERSAMPLING))
