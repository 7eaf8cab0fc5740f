"""Fixtures of system tests: clones of this repository with a tiny data set, in which the real commands run."""

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, sync_playwright

from seqmnist.config import Data
from tests.projects import ROOT, Once, Project, clone
from tests.skipping import skip


def make_tiny(project: Project, data: Data) -> None:
    """Configure a clone for the tiny data set and a training of a few seconds, and commit that."""
    (project.root / "conf/data/tiny.yaml").write_text(yaml.safe_dump(data.model_dump()))
    project.edit("conf/base.yaml", "- data: mnist", "- data: tiny")
    project.edit("conf/train/default.yaml", "epochs: 15", "epochs: 2\nbatch_size: 20")
    for cell in ("rnn", "lstm", "gru"):
        project.edit(f"conf/cell/{cell}.yaml", "units: 150", "units: 8")
    project.succeed("git", "add", "--all")
    project.succeed("git", "commit", "--quiet", "--message", "Use tiny data")


@pytest.fixture(scope="session")
def fresh(once: Once, tiny_data: Data) -> Project:
    """Return a clone in which no stage has run. Tests copy it and do not change it."""
    return Project(once("fresh", lambda target: make_tiny(clone(target), tiny_data)))


@pytest.fixture(scope="session")
def reproduced(fresh: Project, once: Once) -> Project:
    """Return a clone after its first `dvc repro`, with the results committed. Tests copy it and do not change it."""
    return Project(once("reproduced", fresh.reproduce))


@pytest.fixture
def project(reproduced: Project, tmp_path: Path) -> Project:
    """Return a copy of the reproduced clone that the test may change."""
    return reproduced.copy(tmp_path / "clone")


@pytest.fixture
def unrun(fresh: Project, tmp_path: Path) -> Project:
    """Return a copy of the clone in which no stage has run, which the test may change."""
    return fresh.copy(tmp_path / "clone")


@pytest.fixture(scope="session")
def serving() -> Callable[[Project, str], AbstractContextManager[str]]:
    """Return a context manager that runs a serving module, yields its output up to readiness, and ends it by Ctrl-C."""

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
        assert "/step" not in rest, "Keras printed a progress bar"

    return run


@pytest.fixture
def new_page() -> Iterator[Callable[..., Page]]:
    """Yield a function that opens a page in Debian's Chromium, which `make test-all` installs where it can."""
    path = shutil.which("chromium")
    if path is None:
        skip("chromium is not installed: browser tests are skipped")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])

        def open_page(viewport: Any, **options: Any) -> Page:
            page = browser.new_context(viewport=viewport, **options).new_page()
            page.set_default_timeout(120_000)  # milliseconds; other work may keep the cores busy
            return page

        yield open_page
        browser.close()


@pytest.fixture(scope="session")
def screenshot() -> Callable[[Page, str], None]:
    """Return a function that saves a picture of a page in screenshots/ for people to look at."""

    def keep(page: Page, name: str) -> None:
        page.screenshot(path=ROOT / "screenshots" / f"{name}.png", full_page=True)

    return keep
