"""Fixtures of accord's tests: a project that trains one model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from accord.project import Project
from tests.projects import as_project


@pytest.fixture
def flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Make a project that trains a single model current; two stages make its data from the section `data`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(
        """
stages:
  draw: {cmd: "true", params: [data.points], outs: [data/raw]}
  prepare: {cmd: "true", deps: [data/raw], outs: [data/prepared: {persist: true}]}
  train: {cmd: "true", deps: [data/prepared], params: [model, train, seed], outs: [models]}
"""
    )
    yield from as_project("tests.accord.flat:PROJECT", monkeypatch)
