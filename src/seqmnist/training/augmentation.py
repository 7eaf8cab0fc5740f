"""Training images that are moved a little, anew in every epoch.

NumPy draws an affine map for each image, and the graph applies it.
"""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seqmnist.config import Train
from seqmnist.data.splits import SIZE
from seqmnist.randomness import generator

_MIDDLE = (SIZE - 1) / 2  # 13.5: pixel centres are whole numbers


def epoch_maps(recipe: Train, images: int, seed: int, epoch: int) -> NDArray[np.float32]:
    """Draw an affine map for each training image, which says where each pixel of the new image comes from.

    Each image is shifted, and zoomed, turned and sheared about its middle. Each amount is uniform, at most the recipe's
    in both directions.

    Args:
        recipe: Recipe with the largest amounts.
        images: Number of training images.
        seed: Seed of the training.
        epoch: Number of the epoch, from 0.

    Returns:
        float32 [images, 6]: a, b, c, d, e, f of column = a x + b y + c and row = d x + e y + f. Where the recipe moves
        no images, it is [0, 6].
    """
    if not recipe.moves_images:
        return np.zeros((0, 6), np.float32)
    drawn = generator(seed, "augmentation", epoch).uniform(-1, 1, (images, 5))  # [images, 5]; below all are [images]
    shift_x, shift_y = recipe.shift * drawn[:, 0], recipe.shift * drawn[:, 1]  # pixels
    angle, zoom = np.deg2rad(recipe.rotation) * drawn[:, 2], 1 + recipe.zoom * drawn[:, 3]  # radians, a factor
    shear = np.tan(np.deg2rad(recipe.shear) * drawn[:, 4])  # a slope
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    # (column, row) - middle = shear(turn(((x, y) - middle - shift) / zoom))
    a, b, d, e = cosine - shear * sine, sine + shear * cosine, -sine, cosine
    from_x, from_y = _MIDDLE + shift_x, _MIDDLE + shift_y
    c, f = _MIDDLE - a * from_x - b * from_y, _MIDDLE - d * from_x - e * from_y
    return np.stack([a, b, c, d, e, f], axis=1).astype(np.float32)  # [images, 6]


def moved(images: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
    """Move images uint8 [n, 28, 28] by their maps float32 [n, 6], with bilinear interpolation and 0 from outside."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images[..., tf.newaxis],  # [n, 28, 28, 1]
        transforms=tf.pad(maps, [[0, 0], [0, 2]]),  # [n, 8]; the last two, of a perspective, are 0
        output_shape=[SIZE, SIZE],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )[..., 0]  # [n, 28, 28]
