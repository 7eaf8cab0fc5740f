"""Strokes of a pen as an image like MNIST's: 20 pixels in its larger side, centred by its mass in 28 x 28 pixels.

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
_MIN_SIZE = 0.1  # of the canvas; a smaller drawing is scaled as if it had this size, so a dot stays a dot


def image_of(strokes: Sequence[Stroke]) -> NDArray[np.uint8]:
    """Return a drawing as an image like MNIST's: uint8 [28, 28], 0 where nothing is drawn.

    Args:
        strokes: Points (x, y) of each stroke, from the top left; the canvas has size 1.
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
    """Return the shift (x, y) in pixels that brings the mass of an image to its middle; at most to the edge."""
    from scipy.ndimage import center_of_mass

    offset = np.array(center_of_mass(image))[::-1] + 0.5  # (x, y)
    margin = (SIZE - _BOX_PIXELS) / 2
    shift: NDArray[np.float64] = np.clip((SIZE + 1) / 2 - offset, -margin, margin)
    return shift


def _drawn(lines: list[NDArray[np.float64]]) -> NDArray[np.uint8]:
    """Draw lines through points in pixels as an image uint8 [28, 28] with smooth edges."""
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
