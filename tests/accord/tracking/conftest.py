import pytest

import accord.tracking  # noqa: F401  (turns MLflow's telemetry off, before a test module imports MLflow)


@pytest.fixture(autouse=True)
def _environment(no_store: None) -> None:
    """Hide the store that the user's environment or another test has named."""
