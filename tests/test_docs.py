"""The pages of the repository name what is there, link to each other, and are short."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src"
DOCS = ROOT / "docs"
README = ROOT / "README.md"
FOLDERS = ("src/accord", "examples/clouds", "examples/digits", "tests")  # each has a page for its readers
PAGES = [README, *sorted(DOCS.glob("*.md")), *(ROOT / folder / "README.md" for folder in FOLDERS)]
MADE = {  # files that a reader makes by following a page
    "conf/cell/mgu.yaml",
    "deploy/.env",
    "src/seqmnist/cells/types/mgu.py",
    "tests/seqmnist/cells/test_mgu.py",
}


def code_of(text: str) -> str:
    """Return the code on a page: its blocks, and what stands between backticks."""
    found = re.findall(r"^```\w*\n(.+?)^```|`([^`\n]+)`", text, re.MULTILINE | re.DOTALL)
    return "\n".join(block or span for block, span in found)


def name_of(page: Path) -> str:
    """Return the path of a page, as the name of its test."""
    return page.relative_to(ROOT).as_posix()


def prose_of(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links_of(page: Path) -> list[tuple[str, str]]:
    """Return the relative links of a page, each as a path and an anchor, of which one may be empty."""
    targets = re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", prose_of(page))
    parts = [(first or second).partition("#") for first, second in targets if "://" not in first + second]
    return [(path, anchor) for path, _, anchor in parts]


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as a host of repositories makes them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def measured(name: str) -> dict[str, Any]:
    """Return the metrics that docs have of an experiment."""
    metrics: dict[str, Any] = json.loads((DOCS / f"{name}.json").read_text(encoding="utf-8"))["metrics"]
    return metrics


def defines(file: Path, name: str) -> bool:
    """Return whether a module defines the parts of a name, as `Run.metrics`."""
    text = file.read_text(encoding="utf-8")
    return all(
        re.search(rf"^ *(def|class) {part}\b|^ *{part}(: .+)? =", text, re.MULTILINE) for part in name.split(".")
    )


def is_there(name: str) -> bool:
    """Return whether a dotted name is a package, a module, or what a module defines."""
    path, rest = SOURCES, name
    while path.is_dir() and rest:
        part, _, rest = rest.partition(".")
        path = path / part if (path / part).is_dir() else path / f"{part}.py"
    return path.exists() and (not rest or defines(path, rest))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_modules_and_functions_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"(?<![\w./-])(?:accord|seqmnist)(?:\.\w+)+", page.read_text(encoding="utf-8"))
    assert [name for name in named if not is_there(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_and_commands_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = code_of(text)
    paths = set(re.findall(r"(?<![\w./-])(?:src|tests|conf|docs|benchmarks|deploy)/[\w./-]*\w", text))
    # Below the line of a guide that names a file is the whole file; a list names those to copy from another guide.
    shown = set(re.findall(r"^(?:- )?`([\w./-]+)`:?$", text, re.MULTILINE))
    named = paths - MADE - shown
    roots = (ROOT, page.parent, ROOT / "examples/digits")  # accord's page takes its names from this example
    assert [path for path in sorted(named) if not any((root / path).exists() for root in roots)] == []
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z][\w-]*)", code)) <= set(targets)
    commands = re.findall(r'\bcommand\(\s*"([\w-]+)"', (SOURCES / "accord/cli.py").read_text())
    assert set(re.findall(r"(?<![\w/-])(?:digits|seqmnist) ([a-z][a-z-]*)", code)) <= set(commands)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_function_in_a_picture_is_in_its_file(page: Path) -> None:
    for file, name in re.findall(r"([\w/]+\.py):([\w.]+)", page.read_text(encoding="utf-8")):
        (found,) = [folder / file for folder in (SOURCES, SOURCES / "seqmnist") if (folder / file).exists()]
        assert defines(found, name), f"{file}:{name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_relative_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    broken = []
    for path, anchor in links_of(page):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(f"{path}#{anchor}" if anchor else path)
    assert broken == []


def test_the_index_links_each_page_of_docs() -> None:
    index = DOCS / "README.md"
    assert {page.name for page in DOCS.glob("*.md")} - {path for path, _ in links_of(index)} == {index.name}


def test_the_pages_are_short_enough_to_be_read() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150
    pages = [README, *(page for page in DOCS.glob("*.md") if page.name != "licences.md")]  # a program writes that one
    words = {name_of(page): len(page.read_text(encoding="utf-8").split()) for page in pages}
    assert sum(words.values()) <= 16_000, words


def test_the_results_in_readme_are_those_of_what_was_measured() -> None:
    text = " ".join(README.read_text(encoding="utf-8").split())
    evidence, tuned = measured("evidence"), measured("tuned")
    assert [claim["verdict"] for claim in evidence["claims"].values()] == ["shown", "shown", "not shown"]
    assert "Six seeds of both cells show the first two, but not the third." in text
    assert {claim["verdict"] for claim in tuned["claims"].values()} == {"shown"}
    assert "all three claims are shown" in text
    for cell in ("rnn", "lstm"):
        assert f"{tuned[cell]['selected']['test']['accuracy']:.3f} ({cell})" in text
        default = evidence[cell]["seeds"]["42"]["selected"]["test"]
        assert re.search(rf"\| {cell} \| [\d,]+ \| {default['accuracy']:.4f} \| {default['loss']:.3f} \|", text)


def test_each_folder_of_tests_says_what_belongs_there_and_how_fast_it_is() -> None:
    tests = ROOT / "tests"
    rows = re.findall(r"^\| `([\w./]+)` \| .+ \| .+ \|$", (tests / "README.md").read_text(), re.MULTILINE)
    assert rows == sorted({str(path.parent.relative_to(tests)) for path in tests.rglob("test_*.py")})
