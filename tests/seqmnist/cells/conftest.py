import pytest

from seqmnist.training.runtime import start_tensorflow


@pytest.fixture(scope="session", autouse=True)
def _tensorflow() -> None:
    start_tensorflow(2)
