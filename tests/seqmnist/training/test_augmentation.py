from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from seqmnist.config import Train
from seqmnist.randomness import generator
from seqmnist.training.augmentation import epoch_maps, moved

ALL = {"shift": 2.0, "rotation": 20.0, "zoom": 0.2, "shear": 10.0}


def images_of(count: int) -> NDArray[np.uint8]:
    """Smooth images with a dark margin, as digits have."""
    noise = generator(1, "images").uniform(0, 255, (count, 28, 28))
    noise[:, :6] = noise[:, -6:] = noise[:, :, :6] = noise[:, :, -6:] = 0
    smooth: NDArray[np.float64] = ndimage.gaussian_filter(noise, (0, 1, 1))
    return smooth.astype(np.uint8)


def by_tensorflow(images: NDArray[np.uint8], maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    import tensorflow as tf

    result: NDArray[np.uint8] = moved(tf.constant(images), tf.constant(maps)).numpy()
    return result


@pytest.fixture(scope="module")
def moving(recipe: Train) -> Train:
    return recipe.model_copy(update=ALL)


def test_nothing_is_moved_where_nothing_is_configured(recipe: Train) -> None:
    images = images_of(5)
    least = recipe.model_copy(update={"shift": 1e-30})  # maps are drawn, and move nothing
    maps = epoch_maps(least, 5, seed=1, epoch=0)

    assert not recipe.moves_images
    assert epoch_maps(recipe, 5, seed=1, epoch=0).shape == (0, 6)
    np.testing.assert_array_equal(maps, [[1, 0, 0, 0, 1, 0]] * 5)
    np.testing.assert_array_equal(by_tensorflow(images, maps), images)


def test_images_are_moved_as_scipy_moves_them(moving: Train) -> None:
    images = images_of(20)
    maps = epoch_maps(moving, 20, seed=1, epoch=3)

    found = by_tensorflow(images, maps)

    assert moving.moves_images
    for image, result, (a, b, c, d, e, f) in zip(images, found, maps.astype(float), strict=True):
        # SciPy's axes are row, column.
        expected = ndimage.affine_transform(image.astype(float), [[e, d], [b, a]], (f, c), order=1)
        np.testing.assert_allclose(result, expected, atol=1.01)  # fractions are cut off
        assert (result != image).any()


def amounts(maps: NDArray[np.float32], name: str) -> NDArray[np.float64]:
    """Return the amount of each map, in the recipe's units, if it moves in one way alone."""
    a, b, c, _, _, f = maps.T.astype(float)
    found: dict[str, NDArray[np.float64]] = {
        "shift": np.concatenate([-c, -f]),
        "rotation": np.rad2deg(np.arctan2(b, a)),
        "zoom": 1 / a - 1,
        "shear": np.rad2deg(np.arctan(b)),
    }
    return found[name]


@pytest.mark.parametrize(
    ("name", "limit", "alone"),
    [
        ("shift", 3.0, lambda a, b, d, e: (a, b, d, e) == (1, 0, 0, 1)),
        ("rotation", 30.0, lambda a, b, d, e: np.isclose(a * e - b * d, 1) and a == e and b == -d),
        ("zoom", 0.2, lambda a, b, d, e: a == e and b == d == 0),
        ("shear", 20.0, lambda a, _, d, e: (a, d, e) == (1, 0, 1)),
    ],
)
def test_each_amount_is_up_to_its_own_in_both_directions(
    recipe: Train, name: str, limit: float, alone: Callable[..., bool]
) -> None:
    changed = recipe.model_copy(update={name: limit})
    assert changed.moves_images
    maps = epoch_maps(changed, 500, seed=2, epoch=0)

    found = amounts(maps, name)
    for end in (found.max(), -found.min()):
        assert 0.95 * limit <= end <= limit * (1 + 1e-5)
    for a, b, _, d, e, _ in maps:
        assert alone(a, b, d, e)
    if name != "shift":  # the middle stays where it is
        middle = np.array([13.5, 13.5, 1])
        np.testing.assert_allclose(np.stack([maps[:, :3] @ middle, maps[:, 3:] @ middle]), 13.5, atol=1e-5)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(0, 99))
def test_maps_depend_on_seed_and_epoch_alone(moving: Train, seed: int, epoch: int) -> None:
    maps = epoch_maps(moving, 7, seed, epoch)

    np.testing.assert_array_equal(maps, epoch_maps(moving, 7, seed, epoch))
    assert maps.dtype == np.float32
    assert (maps != epoch_maps(moving, 7, seed, epoch + 1)).any()
    assert (maps != epoch_maps(moving, 7, seed + 1, epoch)).any()
    assert len(np.unique(maps, axis=0)) == 7
