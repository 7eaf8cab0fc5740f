"""Random generators derived from (seed, purpose, epoch): none has a state that a run could carry on.

Epoch 7's generator is the same whether or not the run was interrupted before it, and a new use of
randomness disturbs no other.
"""

import hashlib

import numpy as np


def generator(seed: int, purpose: str, epoch: int = 0) -> np.random.Generator:
    """The generator for one purpose in one epoch."""
    number = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "big")
    return np.random.default_rng([seed, number, epoch])


def weight_seed(seed: int, part: str) -> int:
    """The seed, below 2**31, of the initializer of one weight."""
    return int(generator(seed, f"weights of {part}").integers(2**31))
