"""An edit of a source file makes the right stages stale, as DVC itself reports it."""

import os
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

SOURCES = Path("src")
UNRELATED = (
    "accord/checkpoints.py",
    "accord/cli.py",
    "accord/cores.py",
    "accord/errors.py",
    "accord/experiments.py",
    "accord/git.py",
    "accord/process.py",
    "accord/project.py",
    "accord/sweep/app.py",
    "accord/tracking/runs.py",
    "accord/tracking/store.py",
    "seqmnist/bars.py",
    "seqmnist/report/publish.py",
    "seqmnist/report/sweep_figures.py",
    "seqmnist/runs/models.py",
    "seqmnist/runs/training_run.py",
    "seqmnist/training/side_by_side.py",
    "seqmnist/training/terminal.py",
    "seqmnist/trials.py",
)


@pytest.fixture(scope="module")
def repo(reproduced: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    project = reproduced.copy(tmp_path_factory.mktemp("dependencies") / "clone")
    before = Path.cwd()
    os.chdir(project.root)
    with Repo() as repo:
        yield repo
    os.chdir(before)


def stale_after_an_edit(repo: Any, file: Path) -> set[str]:
    """Return the stages that are stale in DVC's status after an edit of a file; undo the edit."""
    content = file.read_bytes()
    file.write_bytes(content + b"# edited\n")
    try:
        return set(repo.status())
    finally:
        file.write_bytes(content)


def test_no_stage_is_stale_before_an_edit(repo: Any) -> None:
    assert repo.status() == {}


@pytest.mark.slow
def test_an_edit_of_a_dep_makes_exactly_its_stages_stale(repo: Any) -> None:
    stages = {stage.addressing: [Path(dep.def_path) for dep in stage.deps] for stage in repo.index.stages}
    listed = {path for deps in stages.values() for path in deps if SOURCES in path.parents}
    files = {file for path in listed for file in ([path] if path.is_file() else path.rglob("*.py"))}
    assert len(files) > 30, "deps with code were not found"
    for file in sorted(files):
        expected = {name for name, deps in stages.items() if any(dep == file or dep in file.parents for dep in deps)}
        assert stale_after_an_edit(repo, file) == expected, file


def test_the_number_of_workers_makes_only_the_configuration_stale(repo: Any) -> None:
    params = Path("params.yaml")
    content = params.read_text(encoding="utf-8")
    try:
        params.write_text(content.replace("workers: auto", "workers: 3"), encoding="utf-8")
        assert params.read_text(encoding="utf-8") != content
        assert set(repo.status()) == {"compose"}
    finally:
        params.write_text(content, encoding="utf-8")


@pytest.mark.parametrize("name", UNRELATED)
def test_an_edit_of_code_that_changes_no_output_makes_no_stage_stale(repo: Any, name: str) -> None:
    assert stale_after_an_edit(repo, SOURCES / name) == set()
