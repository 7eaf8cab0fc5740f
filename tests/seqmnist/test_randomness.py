import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqmnist.randomness import generator, weight_seed

SEEDS = st.integers(0, 2**32 - 1)
TRIPLES = st.tuples(SEEDS, st.text(), st.integers(0, 10_000))


def draw(seed: int, purpose: str, epoch: int) -> list[int]:
    return [int(number) for number in generator(seed, purpose, epoch).integers(2**63, size=4)]


@given(triple=TRIPLES)
def test_numbers_depend_on_seed_purpose_and_epoch_alone(triple: tuple[int, str, int]) -> None:
    first = draw(*triple)
    np.random.default_rng(0).random()
    draw(*triple)
    assert draw(*triple) == first


@given(one=TRIPLES, other=TRIPLES)
def test_another_seed_purpose_or_epoch_gives_other_numbers(
    one: tuple[int, str, int], other: tuple[int, str, int]
) -> None:
    assert (draw(*one) == draw(*other)) == (one == other)


@pytest.mark.parametrize(
    "other", [(8, "batches", 3), (7, "order", 3), (7, "batches", 4)], ids=["seed", "purpose", "epoch"]
)
def test_seed_purpose_and_epoch_each_change_the_numbers(other: tuple[int, str, int]) -> None:
    assert draw(7, "batches", 3) != draw(*other)


@given(seed=SEEDS, part=st.text())
def test_weight_seed_is_a_31_bit_number_of_seed_and_part(seed: int, part: str) -> None:
    number = weight_seed(seed, part)
    assert type(number) is int
    assert 0 <= number < 2**31
    assert weight_seed(seed, part) == number


def test_weights_of_parts_and_seeds_differ() -> None:
    numbers = {weight_seed(seed, part) for seed in range(50) for part in ("kernel", "recurrent_kernel")}
    assert len(numbers) == 100


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_other_processes_draw_the_same(hash_seed: str) -> None:
    program = "from seqmnist.randomness import weight_seed; print(weight_seed(42, 'kernel'))"
    output = subprocess.check_output(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": hash_seed}, text=True
    )
    assert int(output) == weight_seed(42, "kernel")
