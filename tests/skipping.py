"""A skip for tests that need something that the machine may lack."""

import os

import pytest


def skip(reason: str) -> None:
    """Skip the running test, or fail it in continuous integration (with CI set)."""
    assert "CI" not in os.environ, reason
    pytest.skip(reason)
