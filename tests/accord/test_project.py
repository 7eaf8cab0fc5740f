import os
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from accord.errors import UserError
from accord.project import Project, find_project, project_environment
from digits.project import PROJECT as DIGITS
from seqmnist.project import PROJECT as SEQMNIST

MINE = """
from seqmnist.project import PROJECT

MINE = PROJECT
NUMBER = 3
"""
REQUIRED = {"restore", "sync", "train"}
OPTIONAL = {"run_tags", "sweep_figures"}


@pytest.fixture(autouse=True)
def _unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the current project, and restore it after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ACCORD_PROJECT", raising=False)
    find_project.cache_clear()
    yield
    find_project.cache_clear()
    monkeypatch.undo()
    find_project()


def test_pyproject_toml_names_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.accord]\nproject = "my_project:MINE"\n')
    (tmp_path / "my_project.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    assert find_project() is SEQMNIST
    assert project_environment() == {"ACCORD_PROJECT": "my_project:MINE"}
    assert "ACCORD_PROJECT" not in os.environ
    monkeypatch.chdir("/")
    assert find_project() is SEQMNIST, "a process keeps its project"


def test_the_environment_names_the_project_before_pyproject_toml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.accord]\nproject = "another:MINE"\n')
    monkeypatch.setenv("ACCORD_PROJECT", "seqmnist.project:PROJECT")
    assert find_project() is SEQMNIST


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
        (
            '[tool.accord]\nproject = "seqmnist.project"\n',
            "'seqmnist.project' is not an accord.project.Project: name it as",
        ),
    ],
)
def test_a_missing_or_wrong_project_is_reported(tmp_path: Path, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / "pyproject.toml").write_text(content)
    with pytest.raises(UserError, match=told):
        find_project()


@pytest.mark.parametrize("project", [SEQMNIST, DIGITS], ids=["seqmnist", "digits"])
def test_projects_have_their_functions(project: Project) -> None:
    module = import_module(project.functions)
    for name in REQUIRED | (OPTIONAL if project is SEQMNIST else set()):
        assert callable(getattr(module, name)), name


def test_a_function_is_called_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module(DIGITS.functions), "restore", lambda *arguments: arguments)
    assert DIGITS.call("restore", 1, "two") == (1, "two")


def test_a_missing_optional_function_returns_none() -> None:
    for name in OPTIONAL:
        assert DIGITS.call(name, {}) is None


def test_a_missing_required_function_is_named() -> None:
    lacking = replace(DIGITS, functions="digits.config")
    for name in REQUIRED:
        with pytest.raises(UserError, match=rf"\Adigits\.config has no function {name}: see `help"):
            lacking.call(name)


def test_a_module_or_class_that_cannot_be_imported_is_reported() -> None:
    with pytest.raises(UserError, match=r"functions = 'digits\.trails' of the project can't be imported: No module"):
        replace(DIGITS, functions="digits.trails").call("train")
    for name in ("digits.config:Confg", "digits.confg:Config", "digits.config:Config:"):
        with pytest.raises(UserError, match=rf"config = '{name}' of the project can't be imported: "):
            replace(DIGITS, config=name).check_values({}, "there")


def test_values_are_checked_by_the_model_that_the_project_names() -> None:
    with pytest.raises(UserError, match=r"\Athere: .*the key is missing"):
        SEQMNIST.check_values({}, "there")
