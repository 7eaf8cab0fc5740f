"""Tests of what a machine may not allow."""

import os

import pytest


def skip(reason: str) -> None:
    """Skip a test where the machine can't do it; continuous integration must."""
    assert "CI" not in os.environ, reason
    pytest.skip(reason)
