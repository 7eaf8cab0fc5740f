"""A training of a cell that was killed at any moment gives the same bits when the same command is run again."""

import pytest

from tests.accord.system.faults.killing import parametrize_draws
from tests.accord.system.faults.report import KILLS_OF_CELLS
from tests.accord.system.faults.test_kills import (  # noqa: F401  (of seqmnist's `base`)
    seconds,
    test_the_same_command_recovers_from_a_killed_stage,
)

pytestmark = pytest.mark.slow

FEW = {"train@rnn": 1}  # number of kills by stage without --campaign


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize_draws(metafunc, KILLS_OF_CELLS, FEW)
