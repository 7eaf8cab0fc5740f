"""Fixtures: a repository with examples/digits in one of its folders, where the real commands run."""

from pathlib import Path

import pytest

import accord.tracking  # noqa: F401  (before a test module imports MLflow: it turns MLflow's telemetry off)
from tests.projects import EXAMPLE, Once, Project, clone

BELOW = "team/digits"  # folder of the project in its repository


@pytest.fixture(scope="session")
def fresh(once: Once) -> Project:
    """Return a project with three epochs in which nothing has run. Tests copy it and do not change it."""

    def make(target: Path) -> None:
        project = clone(target, EXAMPLE, BELOW)
        project.edit("conf/train/default.yaml", "epochs: 20", "epochs: 3")
        project.succeed("git", "commit", "--quiet", "--all", "--message", "Train for a moment")

    return Project(once("fresh digits", make), BELOW)


@pytest.fixture(scope="session")
def reproduced(fresh: Project, once: Once) -> Project:
    """Return a project after `dvc repro` and a commit of the results. Tests copy it and do not change it."""
    return Project(once("reproduced digits", fresh.reproduce), BELOW)


@pytest.fixture
def project(reproduced: Project, tmp_path: Path) -> Project:
    """Return a copy of the reproduced project, for one test to change."""
    return reproduced.copy(tmp_path / "clone")


@pytest.fixture
def unrun(fresh: Project, tmp_path: Path) -> Project:
    """Return a copy of the project in which nothing has run, for one test to change."""
    return fresh.copy(tmp_path / "clone")
