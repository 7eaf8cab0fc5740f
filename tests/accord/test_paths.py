import os
import subprocess
import sys
from pathlib import Path

import pytest

from accord.paths import given, repository

# Print the folders and paths that a command sees.
LOOK = """
import os, sys
from accord.process import run_command
from accord.paths import given, repository, standing
run_command(
    lambda: print(os.getcwd(), repository(), *map(given, sys.argv[1:]), standing(), sep="\\n"), needs_project=False
)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a project with folders and, below it, a second project, as a temporary experiment has."""
    root = tmp_path / "a project"
    for folder in (".dvc", "docs/figures", ".dvc/tmp/exps/one/.dvc", ".dvc/tmp/exps/one/src", "sweeps/x"):
        (root / folder).mkdir(parents=True)
    return root


def look(folder: Path, *paths: str, **environment: str) -> list[str]:
    variables = {key: value for key, value in os.environ.items() if key != "DVC_ROOT"} | environment
    command = [sys.executable, "-c", LOOK, *paths]
    result = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True)
    return result.stdout.splitlines()


@pytest.mark.parametrize("place", [".", "docs", "docs/figures", ".dvc/tmp"])
def test_a_command_runs_at_the_root_and_reads_paths_relative_to_where_it_was_started(project: Path, place: str) -> None:
    here = project / place
    named = [os.path.relpath(project / "sweeps/x", here), "/absolute/x"]

    assert look(here, *named) == [str(project), str(project), "sweeps/x", "/absolute/x", str(here.resolve())]


def test_a_temporary_experiment_works_in_its_own_tree(project: Path) -> None:
    copy = project / ".dvc/tmp/exps/one"
    for folder in (copy, copy / "src"):
        found = look(folder, DVC_ROOT=str(project))
        assert found[:2] == [str(copy), str(project)]


def test_the_nearest_project_is_taken(project: Path) -> None:
    (project / "docs/.dvc").mkdir()
    assert look(project / "docs/figures")[:2] == [str(project / "docs")] * 2


def test_outside_of_a_project_the_one_in_dvcs_variable_is_taken(project: Path, tmp_path: Path) -> None:
    assert look(tmp_path, "file", DVC_ROOT=str(project)) == [str(project), str(project), "../file", str(tmp_path)]
    assert look(tmp_path, "file")[::2] == [str(tmp_path), "file"]


def test_processes_that_a_command_starts_import_the_same_code(project: Path) -> None:
    started = "import subprocess, sys\nfrom accord.process import run_command\n"
    started += "command = [sys.executable, '-c', 'import seqmnist; print(seqmnist.__file__)']\n"
    started += "run_command(lambda: subprocess.run(command, check=True))"
    package = project / "src/seqmnist"
    package.parent.mkdir()
    package.symlink_to(Path(given.__code__.co_filename).parent)
    variables = os.environ | {"PYTHONPATH": f"../../src{os.pathsep}.."}
    command = [sys.executable, "-c", started]
    where = project / "docs/figures"
    result = subprocess.run(command, cwd=where, env=variables, capture_output=True, text=True, check=True)
    assert result.stdout == f"{package}/__init__.py\n"


def test_without_enter_project_paths_stay_as_they_are(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(project / "docs")
    assert given("../x") == Path("../x")
    assert repository() == project


COMMANDS = [
    "seqmnist sync",
    "seqmnist promote x",
    "seqmnist resume x",
    "seqmnist check",
    "seqmnist check-server",
    "seqmnist compose",
    "seqmnist.stages.download",
    "seqmnist.stages.preprocess",
    "seqmnist.stages.train rnn",
    "seqmnist.stages.evaluate",
    "seqmnist.sweep -m cell=rnn,lstm",
    "seqmnist.ui",
    "seqmnist.serve",
    "seqmnist.demo",
    "seqmnist.report.publish evidence",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_outside_of_a_project_fails_with_one_line(tmp_path: Path, command: str) -> None:
    variables = {key: value for key, value in os.environ.items() if key != "DVC_ROOT"}
    words = [sys.executable, "-m", *command.split()]
    result = subprocess.run(words, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert (
        result.stderr.splitlines()[-1]
        == f"error: {tmp_path} is outside the repository: it has no .dvc, nor has a folder above it"
    )
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_commands_that_need_no_project_work_anywhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "seqmnist", "move-store", "no-database", "/a"]
    variables = {key: value for key, value in os.environ.items() if key != "DVC_ROOT"}
    result = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert "no-database is no postgresql://" in result.stderr
