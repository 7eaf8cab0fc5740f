"""The fixtures of accord's faults for seqmnist, of which the same campaign kills the trainings."""

import pytest

from tests.accord.system.faults.conftest import (  # noqa: F401  (fixtures)
    assert_same,
    base,
    expected,
    fault,
    forget,
    is_campaign,
    one_line,
    repair,
    runs,
    victim,
)


@pytest.fixture(scope="session")
def package() -> str:
    """The name of the project's package, whose modules are its commands, and of its experiment in MLflow."""
    return "seqmnist"
