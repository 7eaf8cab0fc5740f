import pytest


@pytest.fixture(autouse=True)
def _project(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the project known from any working directory."""
    monkeypatch.setenv("ACCORD_PROJECT", "seqmnist.project:PROJECT")
