"""docs/your-own.md and docs/adopt.md work as written, with only accord's wheel and its dependencies installed."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.projects import Project, Result
from tests.wheels import copied, environment_for, wheels

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COPIED = re.compile(r"^- `([\w./]+)`$", re.MULTILINE)  # a file of your-own.md
NAMED = re.compile(r"`([\w./-]+)`:\n\n\Z")
UNWANTED = ("keras", "matplotlib", "numpy", "pandas", "seqmnist", "sklearn", "tensorflow")
OFFLINE = {
    "CI": "1",  # DVC looks for no newer version of itself
    "DVC_NO_ANALYTICS": "1",
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # 0 turns isolation off: with it pip would download setuptools
    "PIP_NO_INDEX": "1",
}


@dataclass(frozen=True)
class Block:
    """A code block of a page: a file or an edit of one, named by the line before it, or commands, or their output."""

    language: str
    text: str
    file: str

    @property
    def kind(self) -> str:
        if self.file:
            return "edit" if self.language == "diff" else "file"
        return {"console": "commands", "text": "output"}[self.language]


def blocks(page: str) -> Iterator[Block]:
    """Yield the code blocks of a page."""
    text = (DOCS / page).read_text()
    found = list(FENCE.finditer(text))
    assert 2 * len(found) == text.count("```"), f"{page} has blocks that are not followed"
    for block in found:
        named = NAMED.search(text, 0, block.start())
        yield Block(block[1], block[2], named[1] if named and block[1] != "console" else "")


def copy_files(project: Project, page: str) -> None:
    """Write the files that a page takes from your-own.md, with its own package's name in place of `points`."""
    files = {block.file: block.text for block in blocks("your-own.md") if block.kind == "file"}
    for name in COPIED.findall((DOCS / page).read_text()):
        path = project.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name.replace("clouds", "points")].replace("points", "clouds"))


def edited(before: str, diff: str) -> str:
    """Return a text after a diff. Empty lines divide the diff into parts; each part must match the text once."""
    text = f"\n{before}"
    for part in diff.strip("\n").split("\n\n"):
        lines = part.splitlines()
        assert {line[0] for line in lines} <= set(" +-"), part
        old = "".join(f"\n{line[1:]}" for line in lines if line[0] != "+") + "\n"
        new = "".join(f"\n{line[1:]}" for line in lines if line[0] != "-") + "\n"
        assert text.count(old) == 1, f"not there once: {old}"
        text = text.replace(old, new)
    return text[1:]


def missing(shown: str, output: str) -> list[str]:
    """Return the lines that a page shows and an output lacks, in the order of the page; `…` matches any text."""
    rest, lacking = output.splitlines(), []
    for line in shown.splitlines():
        pattern = ".*".join(map(re.escape, line.split("…")))
        number = next((number for number, one in enumerate(rest) if re.fullmatch(pattern, one.rstrip())), None)
        if number is None:
            lacking.append(line)
        else:
            del rest[: number + 1]
    return lacking


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels(copied(tmp_path_factory.mktemp("built")))["accord"]


@pytest.fixture
def empty(wheel: Path, tmp_path: Path) -> Project:
    """Return a project in an empty folder, with an environment of accord's dependencies but without accord."""
    python = environment_for(wheel, tmp_path / "venv", "pip", "setuptools")
    probe = f"from importlib.util import find_spec; print(*filter(find_spec, {('accord', *UNWANTED)}))"
    found = subprocess.run([python, "-I", "-c", probe], stdout=subprocess.PIPE, text=True, check=True)
    assert found.stdout.split() == []
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    for name in [name for name in project.environment if name.startswith(("ACCORD", "PIP_", "PYTHON", "VIRTUAL_ENV"))]:
        del project.environment[name]
    programs = os.pathsep.join([str(python.parent), str(Path(str(shutil.which("git"))).parent), os.defpath])
    project.environment |= {"PATH": programs, "ACCORD": str(wheel), **OFFLINE}
    return project


def follow(project: Project, page: str) -> list[Result]:
    """Write the files of a page and run its commands; return the results of the commands."""
    results: list[Result] = []
    copy_files(project, page)
    for block in blocks(page):
        path = project.root / block.file
        if block.kind == "file":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.kind == "edit":
            path.write_text(edited(path.read_text(), block.text))
        elif block.kind == "commands":
            results.append(project.succeed("sh", "-ec", block.text))
        else:
            lacking = missing(block.text, results[-1].output)
            assert lacking == [], f"{page} shows {lacking}:\n{results[-1].output}"
    return results


@pytest.mark.parametrize(
    ("page", "kinds"), [("your-own.md", ("diamond", "circle")), ("adopt.md", ("plain", "average"))]
)
def test_following_a_page_gives_a_project_whose_runs_agree_with_dvcs_cache(
    empty: Project, page: str, kinds: tuple[str, str]
) -> None:
    if page == "adopt.md":
        shutil.copytree(ROOT / "examples/clouds", empty.root, dirs_exist_ok=True)
    follow(empty, page)

    empty.succeed("dvc", "repro")
    assert empty.succeed("dvc", "repro").stages_skipped == ["compose", "prepare", "train"]

    client = MlflowClient(f"sqlite:///{empty.root}/mlflow.db")
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert {run.info.status for run in runs} == {"FINISHED"}
    (sweep,) = [run for run in runs if "sweep.folder" in run.data.tags]
    trials = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == sweep.info.run_id]
    assert sorted(run.info.run_name for run in trials) == sorted(kinds)
    best = max(trials, key=accuracy)
    assert sweep.data.tags["best.run_id"] == best.info.run_id
    trainings = [run for run in runs if run.data.tags.get("stage") == "train"]
    assert {run.info.run_name for run in trainings} == {"train", *kinds}
    for run in trainings:
        curve = client.get_metric_history(run.info.run_id, "val.accuracy")
        assert [point.step for point in curve] == list(range(int(run.data.params["epochs"])))
        assert accuracy(run) == max(point.value for point in curve)
    assert any(run.info.run_name == "prepare" for run in runs)


def accuracy(run: Run) -> float:
    return float(run.data.metrics["selected.val.accuracy"])
