"""The order of the images in an epoch, and its batches (the notebook's `shuffle_batch`)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seqmnist.randomness import generator


@dataclass(frozen=True)
class Batches:
    """The batches of an epoch: batch k has the images `order[bounds[k]:bounds[k + 1]]`."""

    order: NDArray[np.int32]  # int32 [n], each image once
    bounds: NDArray[np.int32]  # int32 [batches + 1], from 0 to n

    def __len__(self) -> int:
        return len(self.bounds) - 1


def batch_count(images: int, batch_size: int) -> int:
    """Return the number of batches in an epoch. It is rounded down, so that none is smaller than `batch_size`."""
    return images // batch_size


def epoch_batches(images: int, batch_size: int, seed: int, epoch: int) -> Batches:
    """Shuffle an epoch's images, and split them as `np.array_split(order, images // batch_size)` does.

    Every image is used once. 55,000 images and a batch size of 150 give 100 batches of 151 and 266 of 150.
    """
    order = generator(seed, "batches", epoch).permutation(images).astype(np.int32)  # [images]
    count = batch_count(images, batch_size)
    small, larger = divmod(images, count)
    sizes = np.full(count, small)  # [batches]
    sizes[:larger] += 1
    return Batches(order, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))  # [images], [batches + 1]
