import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqmnist.training.batches import Batches, batch_count, epoch_batches


def cut(batches: Batches) -> list[list[int]]:
    pairs = zip(batches.bounds[:-1], batches.bounds[1:], strict=True)
    return [batches.order[start:stop].tolist() for start, stop in pairs]


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int]:
    """A number of images and a batch size that is not above it."""
    images = draw(st.integers(1, 400))
    return images, draw(st.integers(1, images))


def test_55000_images_at_150_are_the_notebooks_366_batches() -> None:
    batches = epoch_batches(55_000, 150, seed=42, epoch=0)

    lengths = np.diff(batches.bounds).tolist()

    assert len(batches) == batch_count(55_000, 150) == 366
    assert lengths == [151] * 100 + [150] * 266


@given(sizes(), st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_an_epoch_uses_every_image_once_in_batches_of_nearly_one_size(
    size: tuple[int, int], seed: int, epoch: int
) -> None:
    images, batch_size = size

    parts = cut(epoch_batches(images, batch_size, seed, epoch))

    lengths = {len(part) for part in parts}
    assert sorted(image for part in parts for image in part) == list(range(images))
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) >= batch_size


@given(sizes())
def test_batches_are_cut_as_array_split_does(size: tuple[int, int]) -> None:
    images, batch_size = size
    batches = epoch_batches(images, batch_size, seed=1, epoch=0)

    expected = np.array_split(batches.order, images // batch_size)

    assert cut(batches) == [part.tolist() for part in expected]


def test_the_graph_gets_32_bit_indices() -> None:
    batches = epoch_batches(100, 30, seed=1, epoch=0)

    assert batches.order.dtype == batches.bounds.dtype == np.int32


@pytest.mark.parametrize(("seed", "epoch"), [(1, 8), (2, 7), (7, 1)], ids=["epoch", "seed", "exchanged"])
def test_another_seed_or_epoch_gives_another_order(seed: int, epoch: int) -> None:
    assert epoch_batches(100, 10, seed, epoch).order.tolist() != epoch_batches(100, 10, 1, 7).order.tolist()


def test_an_epochs_order_does_not_depend_on_the_epochs_before_it() -> None:
    alone = epoch_batches(100, 10, seed=1, epoch=7)

    after_others = [epoch_batches(100, 10, seed=1, epoch=epoch) for epoch in range(8)][7]

    assert alone.order.tolist() == after_others.order.tolist()


def test_the_order_of_a_seed_is_known() -> None:
    assert epoch_batches(10, 5, seed=42, epoch=0).order.tolist() == [1, 0, 5, 9, 8, 7, 2, 4, 6, 3]
