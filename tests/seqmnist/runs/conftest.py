import pytest

import accord.tracking  # noqa: F401  (before a test module imports MLflow: it turns MLflow's telemetry off)


@pytest.fixture(autouse=True)
def _environment(no_store: None) -> None:
    """Leave no store to a test that another one or the user has named."""
