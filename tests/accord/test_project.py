import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from accord.errors import UserError
from accord.project import find_project, project_environment
from seqmnist.project import PROJECT

MINE = """
from seqmnist.project import PROJECT

MINE = PROJECT
NUMBER = 3
"""
FUNCTIONS = {
    "ineffective", "promotion", "restore", "run_tags", "sweep_figures", "sync", "train", "trial_values",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No project is known yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ACCORD_PROJECT", raising=False)
    find_project.cache_clear()
    yield
    find_project.cache_clear()
    monkeypatch.undo()
    find_project()


def test_the_project_is_that_of_pyproject_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.accord]\nproject = "my_project:MINE"\n')
    (tmp_path / "my_project.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    assert find_project() is PROJECT
    assert project_environment() == {"ACCORD_PROJECT": "my_project:MINE"}
    assert "ACCORD_PROJECT" not in os.environ
    monkeypatch.chdir("/")
    assert find_project() is PROJECT, "a process keeps its project"


def test_a_process_elsewhere_finds_it_by_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.accord]\nproject = "another:MINE"\n')
    monkeypatch.setenv("ACCORD_PROJECT", "seqmnist.project:PROJECT")
    assert find_project() is PROJECT


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r'pyproject\.toml names no project: add \[tool\.accord\] project = "MODULE:NAME"\Z'),
        ("[tool.other]\n", "names no project"),
        ("tool = 3\n", "names no project"),
        ("[tool\n", r"pyproject\.toml can't be read: "),
        ('[tool.accord]\nproject = "nowhere.at_all:MINE"\n', r"'nowhere\.at_all:MINE' can't be imported: No module"),
        ('[tool.accord]\nproject = "seqmnist.project:MINE"\n', "has no attribute 'MINE'"),
        ('[tool.accord]\nproject = ":MINE"\n', "':MINE' can't be imported: "),
        ('[tool.accord]\nproject = "seqmnist.project"\n', "'seqmnist.project' is no Project of accord's: name it as"),
    ],
)
def test_what_names_no_project_is_told_of(tmp_path: Path, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / "pyproject.toml").write_text(content)
    with pytest.raises(UserError, match=told):
        find_project()


def test_the_functions_of_this_project_are_there() -> None:
    for name in FUNCTIONS:
        assert callable(getattr(import_module(PROJECT.functions), name)), name


def test_a_function_is_called_by_its_name() -> None:
    assert PROJECT.call("ineffective", {"cell": {"train": None}}, ["seed=1"]) is None


def test_values_are_checked_by_the_function_that_the_project_names() -> None:
    with pytest.raises(UserError, match=r"\Athere: .*the key is missing"):
        PROJECT.check_values({}, "there")
