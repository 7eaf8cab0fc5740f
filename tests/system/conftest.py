"""A clone of this repository with a tiny data set, in which the real commands run."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, sync_playwright

from seqmnist.config import Data
from tests.skipping import skip

ROOT = Path(__file__).parents[2]

# A shell that runs the tests in the background has them ignore Ctrl-C, and so every command that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Result:
    """How a command ended and all that it printed."""

    code: int
    output: str

    @property
    def stages_run(self) -> list[str]:
        return re.findall(r"^Running stage '(.+)':", self.output, re.MULTILINE)

    @property
    def stages_skipped(self) -> list[str]:
        return re.findall(r"^Stage '(.+)' didn't change, skipping", self.output, re.MULTILINE)

    @property
    def stages_restored(self) -> list[str]:
        return re.findall(r"^Stage '(.+)' is cached - skipping run", self.output, re.MULTILINE)


class Project:
    """A clone in a folder of its own, run with this test session's Python and packages."""

    def __init__(self, root: Path) -> None:
        self.root = root
        unwanted = ("DVC_", "MLFLOW_", "GIT_")
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
        self.environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        for role in ("AUTHOR", "COMMITTER"):
            self.environment |= {f"GIT_{role}_NAME": "Tester", f"GIT_{role}_EMAIL": "tester@localhost"}

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command; stderr goes with stdout."""
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, **environment: str) -> Result:
        """Run a command to its end."""
        with self.start(*command, **environment) as process:
            output, _ = process.communicate()
        return Result(process.returncode, output)

    def succeed(self, *command: str, **environment: str) -> Result:
        """Run a command that must end with exit code 0."""
        result = self.run(*command, **environment)
        assert result.code == 0, result.output
        return result

    def interrupt(self, process: subprocess.Popen[str], after: str, by: signal.Signals) -> Result:
        """Signal a started process as soon as it has printed a line with `after`; wait for its end."""
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if after in line:
                process.send_signal(by)
                break
        output, _ = process.communicate()
        return Result(process.returncode, "".join(lines) + output)

    def stage(self, name: str, *arguments: str, **environment: str) -> Result:
        """Run one stage as dvc.yaml does, without DVC."""
        return self.run("python", "-m", f"seqmnist.stages.{name}", *arguments, PYTHONPATH="src", **environment)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text in a file, which must have it."""
        path = self.root / name
        text = path.read_text()
        assert old in text, f"{name} lacks {old!r}"
        path.write_text(text.replace(old, new))

    def copy(self, target: Path) -> "Project":
        """The same clone with its cache and outputs in another folder, without MLflow's runs."""
        shutil.copytree(self.root, target, ignore=shutil.ignore_patterns("mlflow.db*", "mlartifacts"), symlinks=True)
        return Project(target)

    def history(self, cell: str) -> list[dict[str, str]]:
        with (self.root / "reports" / "train" / cell / "history.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def metrics(self) -> dict[str, Any]:
        metrics: dict[str, Any] = json.loads((self.root / "reports/metrics.json").read_text())
        return metrics

    def output_hashes(self) -> dict[str, str]:
        """The hash of every output of every stage, from dvc.lock."""
        lock = yaml.safe_load((self.root / "dvc.lock").read_text())
        return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def clone(target: Path) -> Project:
    """A clone of the tree as it stands, also where it isn't committed, with a commit of its own."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    for name in filter(None, listing.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    project = Project(target)
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "Start"]):
        project.succeed("git", *command)
    return project


def make_tiny(project: Project, data: Data) -> None:
    """Give a clone the tiny data set and a training of seconds, and commit that."""
    (project.root / "conf/data/tiny.yaml").write_text(yaml.safe_dump(data.model_dump()))
    project.edit("conf/base.yaml", "- data: mnist", "- data: tiny")
    project.edit("conf/train/default.yaml", "epochs: 15", "epochs: 2\nbatch_size: 20")
    for cell in ("rnn", "lstm", "gru"):
        project.edit(f"conf/cell/{cell}.yaml", "units: 150", "units: 8")
    project.succeed("git", "add", "--all")
    project.succeed("git", "commit", "--quiet", "--message", "Use tiny data")


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory, tiny_data: Data) -> Project:
    """A clone in which nothing has run. Tests copy it, they don't change it."""
    project = clone(tmp_path_factory.mktemp("fresh") / "clone")
    make_tiny(project, tiny_data)
    return project


@pytest.fixture(scope="session")
def reproduced(fresh: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone after its first `dvc repro`, with its commit of the results. Tests copy it, they don't change it."""
    project = fresh.copy(tmp_path_factory.mktemp("reproduced") / "clone")
    project.succeed("dvc", "repro")
    project.succeed("git", "add", "--all")
    project.succeed("git", "commit", "--quiet", "--message", "Add results")
    return project


@pytest.fixture
def project(reproduced: Project, tmp_path: Path) -> Project:
    """A copy of the reproduced clone, for one test to change."""
    return reproduced.copy(tmp_path / "clone")


@pytest.fixture
def unrun(fresh: Project, tmp_path: Path) -> Project:
    """A copy of the clone in which nothing has run, for one test to change."""
    return fresh.copy(tmp_path / "clone")


@pytest.fixture(scope="session")
def serving() -> Callable[[Project, str], AbstractContextManager[str]]:
    """Runs a module of the package that serves until Ctrl-C, and gives what it printed until it was ready."""

    @contextmanager
    def run(project: Project, module: str) -> Iterator[str]:
        with project.start("python", "-m", module, PYTHONPATH="src") as process:
            assert process.stdout is not None
            lines: list[str] = []
            for line in process.stdout:
                lines.append(line)
                if line == "Ctrl-C ends it.\n":
                    break
            yield "".join(lines)
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate()
        assert process.returncode == 0, rest
        assert "Traceback" not in rest

    return run


@pytest.fixture
def new_page() -> Iterator[Callable[..., Page]]:
    """Opens pages in Debian's Chromium, which `make test` installs where it can."""
    path = shutil.which("chromium")
    if path is None:
        skip("no chromium on this machine: tests in a browser are skipped")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])

        def open_page(viewport: Any, **options: Any) -> Page:
            page = browser.new_context(viewport=viewport, **options).new_page()
            page.set_default_timeout(120_000)  # of milliseconds: other work may keep the cores busy
            return page

        yield open_page
        browser.close()


@pytest.fixture(scope="session")
def screenshot() -> Callable[[Page, str], None]:
    """Keeps a picture of a page in screenshots/, to be looked at."""

    def keep(page: Page, name: str) -> None:
        page.screenshot(path=ROOT / "screenshots" / f"{name}.png", full_page=True)

    return keep
