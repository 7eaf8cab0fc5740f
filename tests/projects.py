"""Projects cloned into temporary folders, in which tests run the real commands."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from accord.project import Project as AccordProject
from accord.project import find_project

Once = Callable[[str, Callable[[Path], object]], Path]  # type of the fixture `once`

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples/digits"

# A shell starts background commands with Ctrl-C ignored, and all commands that the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Result:
    """Exit code and output of a command."""

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
    """A project in a cloned git repository, run with this test session's Python and packages."""

    def __init__(self, root: Path, below: str = "") -> None:
        """Take the root of the git repository and the project's folder, relative to the root."""
        self.repository, self.below, self.root = root, below, root / below
        unwanted = ("DVC_", "MLFLOW_", "GIT_")
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
        self.environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        for role in ("AUTHOR", "COMMITTER"):
            self.environment |= {f"GIT_{role}_NAME": "Tester", f"GIT_{role}_EMAIL": "tester@localhost"}

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command in the project's folder, with stderr in stdout."""
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, **environment: str) -> Result:
        """Run a command to its end and return its result."""
        with self.start(*command, **environment) as process:
            output, _ = process.communicate()
        return Result(process.returncode, output)

    def succeed(self, *command: str, **environment: str) -> Result:
        """Run a command that must end with exit code 0, and return its result."""
        result = self.run(*command, **environment)
        assert result.code == 0, result.output
        return result

    def interrupt(self, process: subprocess.Popen[str], after: str, by: signal.Signals) -> Result:
        """Send a signal to a process once it has printed a line that contains `after`; return its result."""
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if after in line:
                process.send_signal(by)
                break
        output, _ = process.communicate()
        return Result(process.returncode, "".join(lines) + output)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text that a file must contain."""
        path = self.root / name
        text = path.read_text()
        assert old in text, f"{name} lacks {old!r}"
        path.write_text(text.replace(old, new))

    def copy(self, target: Path) -> "Project":
        """Copy the clone with its cache and outputs, but without MLflow's runs, to another folder."""
        unwanted = shutil.ignore_patterns("mlflow.db*", "mlartifacts")
        shutil.copytree(self.repository, target, ignore=unwanted, symlinks=True)
        return Project(target, self.below)

    def reproduce(self, target: Path) -> "Project":
        """Copy the clone to another folder, run `dvc repro` there and commit the results."""
        project = self.copy(target)
        project.succeed("dvc", "repro")
        project.succeed("git", "add", "--all")
        project.succeed("git", "commit", "--quiet", "--message", "Add results")
        return project

    def refuses_edit(self, file: str, old: str, new: str, expected: list[str]) -> None:
        """Edit a file; check that `dvc repro` fails with one line that has these parts and leaves params.yaml alone."""
        before = (self.root / "params.yaml").read_bytes()
        self.edit(file, old, new)
        result = self.run("dvc", "repro")
        assert result.code != 0
        assert result.stages_run == ["compose"]
        (error,) = [line for line in result.output.splitlines() if line.startswith("error: ")]
        for part in expected:
            assert part in error
        assert "Traceback" not in result.output
        assert (self.root / "params.yaml").read_bytes() == before

    def history(self, variant: str) -> list[dict[str, str]]:
        with (self.root / "reports" / "train" / variant / "history.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def metrics(self) -> dict[str, Any]:
        metrics: dict[str, Any] = json.loads((self.root / "reports/metrics.json").read_text())
        return metrics

    def output_hashes(self) -> dict[str, str]:
        """Return the MD5 of every output of every stage, read from dvc.lock."""
        lock = yaml.safe_load((self.root / "dvc.lock").read_text())
        return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def clone(target: Path, source: Path = ROOT, below: str = "") -> Project:
    """Make a git repository from the files of a folder, uncommitted changes included.

    Args:
        target: Root of the new repository.
        source: Folder to copy; files that git ignores are left out.
        below: Folder of the project in the new repository.
    """
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=source,
        stdout=subprocess.PIPE,
        check=True,
    )
    project = Project(target, below)
    for name in filter(None, listing.stdout.decode().split("\0")):
        if (source / name).exists():
            (project.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, project.root / name)
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "Start"]):
        project.succeed("git", "-C", str(target), *command)
    return project


def as_project(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[AccordProject]:
    """Switch this process to another project, given as MODULE:NAME, until the generator is resumed."""
    monkeypatch.setenv("ACCORD_PROJECT", name)
    find_project.cache_clear()
    yield find_project()
    monkeypatch.undo()
    find_project.cache_clear()
    find_project()
