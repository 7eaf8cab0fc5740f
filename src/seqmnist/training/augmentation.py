"""Training images moved a little, each anew in every epoch: affine maps, drawn outside the graph and applied inside."""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seqmnist.config import Train
from seqmnist.data.splits import SIZE
from seqmnist.randomness import generator

_MIDDLE = (SIZE - 1) / 2  # 13.5: pixel centres are whole numbers


def epoch_maps(recipe: Train, images: int, seed: int, epoch: int) -> NDArray[np.float32]:
    """An affine map for each training image: where each pixel of its new image comes from.

    The image is shifted; about its middle it is zoomed, turned and sheared. Each amount is uniform up to that of the
    recipe in both directions.

    Args:
        recipe: Recipe with the largest amounts.
        images: Number of training images.
        seed: Seed of the training.
        epoch: Number of the epoch, from 0.

    Returns:
        float32 [images, 6]: a, b, c, d, e, f of column = a x + b y + c and row = d x + e y + f; [0, 6] where the recipe
        moves no images.
    """
    if not recipe.moves_images:
        return np.zeros((0, 6), np.float32)
    drawn = generator(seed, "augmentation", epoch).uniform(-1, 1, (images, 5))
    shift_x, shift_y = recipe.shift * drawn[:, 0], recipe.shift * drawn[:, 1]
    angle, zoom = np.deg2rad(recipe.rotation) * drawn[:, 2], 1 + recipe.zoom * drawn[:, 3]
    shear = np.tan(np.deg2rad(recipe.shear) * drawn[:, 4])
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    # (column, row) - middle = shear(turn(((x, y) - middle - shift) / zoom))
    a, b, d, e = cosine - shear * sine, sine + shear * cosine, -sine, cosine
    from_x, from_y = _MIDDLE + shift_x, _MIDDLE + shift_y
    c, f = _MIDDLE - a * from_x - b * from_y, _MIDDLE - d * from_x - e * from_y
    return np.stack([a, b, c, d, e, f], axis=1).astype(np.float32)


def moved(images: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
    """Images uint8 [n, 28, 28] by their maps float32 [n, 6], interpolated bilinearly; 0 where nothing was."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images[..., tf.newaxis],
        transforms=tf.pad(maps, [[0, 0], [0, 2]]),  # the last two would be of a perspective
        output_shape=[SIZE, SIZE],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[..., 0]
