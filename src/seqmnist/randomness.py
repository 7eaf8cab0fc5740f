"""Random generators, each derived from (seed, purpose, epoch).

None has a state that a run carries on. So epoch 7 has the same generator whether or not the run was interrupted before
it, and a new use of randomness changes no other.
"""

import hashlib

import numpy as np


def generator(seed: int, purpose: str, epoch: int = 0) -> np.random.Generator:
    """Return the generator for one purpose in one epoch."""
    number = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "big")
    return np.random.default_rng([seed, number, epoch])


def weight_seed(seed: int, part: str) -> int:
    """Return the seed of one weight's initializer, below 2**31."""
    return int(generator(seed, f"weights of {part}").integers(2**31))
