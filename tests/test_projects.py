import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from seqmnist import projects
from seqmnist.errors import UserError
from seqmnist.project import PROJECT

MINE = """
from seqmnist.project import PROJECT

MINE = PROJECT
NUMBER = 3
"""
FUNCTIONS = {
    "data_folder", "ineffective", "promotion", "restore", "run_tags", "sweep_figures", "sync", "train", "trial_values",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No project is known yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEQMNIST_PROJECT", raising=False)
    projects.find.cache_clear()
    yield
    projects.find.cache_clear()


def test_the_project_is_that_of_pyproject_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.seqmnist]\nproject = "my_project:MINE"\n')
    (tmp_path / "my_project.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    assert projects.find() is PROJECT
    assert projects.environment() == {"SEQMNIST_PROJECT": "my_project:MINE"}
    assert "SEQMNIST_PROJECT" not in os.environ
    monkeypatch.chdir("/")
    assert projects.find() is PROJECT, "a process keeps its project"


def test_a_process_elsewhere_finds_it_by_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.seqmnist]\nproject = "another:MINE"\n')
    monkeypatch.setenv("SEQMNIST_PROJECT", "seqmnist.project:PROJECT")
    assert projects.find() is PROJECT


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r'pyproject\.toml names no project: add \[tool\.seqmnist\] project = "MODULE:NAME"\Z'),
        ("[tool.other]\n", "names no project"),
        ("tool = 3\n", "names no project"),
        ("[tool\n", r"pyproject\.toml can't be read: "),
        ('[tool.seqmnist]\nproject = "nowhere.at_all:MINE"\n', r"'nowhere\.at_all:MINE' can't be imported: No module"),
        ('[tool.seqmnist]\nproject = "seqmnist.project:MINE"\n', "has no attribute 'MINE'"),
        ('[tool.seqmnist]\nproject = ":MINE"\n', "':MINE' can't be imported: "),
    ],
)
def test_what_names_no_project_is_told_of(tmp_path: Path, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / "pyproject.toml").write_text(content)
    with pytest.raises(UserError, match=told):
        projects.find()


def test_the_functions_of_this_project_are_there() -> None:
    for name in FUNCTIONS:
        assert callable(getattr(import_module(PROJECT.functions), name)), name


def test_a_function_is_called_by_its_name() -> None:
    assert PROJECT.call("data_folder", "mnist") == Path("data/raw")
    assert PROJECT.call("data_folder", "mnist.test") == Path("data/processed")
