"""Modules, functions, files, make targets and sub-commands that README and docs name are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MADE = {  # by whoever follows a page
    "conf/cell/mgu.yaml",
    "deploy/.env",
    "src/seqmnist/cells/types/mgu.py",
    "tests/seqmnist/cells/test_mgu.py",
}


def code_of(text: str) -> str:
    """Return the code on a page: its blocks, and what stands between backticks."""
    found = re.findall(r"^```\w*\n(.+?)^```|`([^`\n]+)`", text, re.MULTILINE | re.DOTALL)
    return "\n".join(block or span for block, span in found)


def defines(file: Path, name: str) -> bool:
    """Whether a module defines the parts of a name, as `Run.metrics`."""
    text = file.read_text(encoding="utf-8")
    return all(
        re.search(rf"^ *(def|class) {part}\b|^ *{part}(: .+)? =", text, re.MULTILINE) for part in name.split(".")
    )


def is_there(name: str) -> bool:
    """Whether a dotted name is a package, a module, or what a module defines."""
    path, rest = SOURCES, name
    while path.is_dir() and rest:
        part, _, rest = rest.partition(".")
        path = path / part if (path / part).is_dir() else path / f"{part}.py"
    return path.exists() and (not rest or defines(path, rest))


@pytest.mark.parametrize("page", [*PAGES, SOURCES / "accord/README.md"], ids=lambda page: page.name)
def test_modules_and_functions_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"(?<![\w./-])(?:accord|seqmnist)(?:\.\w+)+", page.read_text(encoding="utf-8"))
    assert [name for name in named if not is_there(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_commands_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = code_of(text)
    paths = set(re.findall(r"(?<![\w./-])(?:src|tests|conf|docs|benchmarks|deploy)/[\w./-]*\w", text))
    shown = set(re.findall(r"^`([\w./-]+)`:$", text, re.MULTILINE))  # a guide has the whole file below this line
    assert [path for path in sorted(paths - MADE - shown) if not (ROOT / path).exists()] == []
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z][\w-]*)", code)) <= set(targets)
    commands = re.findall(r'\bcommand\(\s*"([\w-]+)"', (SOURCES / "accord/cli.py").read_text())
    assert set(re.findall(r"(?<![\w/-])seqmnist ([a-z-]+)", code)) <= set(commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_function_in_a_picture_is_in_its_file(page: Path) -> None:
    for file, name in re.findall(r"([\w/]+\.py):([\w.]+)", page.read_text(encoding="utf-8")):
        (found,) = [folder / file for folder in (SOURCES, SOURCES / "seqmnist") if (folder / file).exists()]
        assert defines(found, name), f"{file}:{name}"


def test_each_folder_of_tests_says_what_belongs_there_and_how_fast_it_is() -> None:
    tests = ROOT / "tests"
    rows = re.findall(r"^\| `([\w./]+)` \| .+ \| .+ \|$", (tests / "README.md").read_text(), re.MULTILINE)
    assert rows == sorted({str(path.parent.relative_to(tests)) for path in tests.rglob("test_*.py")})
