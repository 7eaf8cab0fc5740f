"""Fixtures of accord's fault tests, for the project seqmnist: the same campaign kills its trainings."""

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
    """Return the name of the project's package, which is also that of its MLflow experiment."""
    return "seqmnist"
