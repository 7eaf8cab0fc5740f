"""`make` sets up an environment again that was moved or copied with the repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNWANTED = ("__pycache__", "*.egg-info", ".dvc", "mlflow.db*", "mlartifacts", "sweeps")
ENVIRONMENTS = (".venv", ".venv-cluster")
MENDED = "".join(f"{name} was moved or copied here: mending it\n" for name in ENVIRONMENTS)
# Real environments, which have the packages of this one: `python -m venv FOLDER`.
PYTHON = f"""\
#!/bin/sh
{sys.executable} "$@" && echo {sysconfig.get_path("purelib")} > \
"$3"/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages/shared.pth
"""


class Repository:
    """A repository whose lock files ask for nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def made(cls, root: Path) -> "Repository":
        unwanted = shutil.ignore_patterns(*UNWANTED)
        for package in ("accord", "seqmnist"):
            shutil.copytree(ROOT / "src" / package, root / "src" / package, ignore=unwanted)
        shutil.copytree(ROOT / "examples/digits", root / "examples/digits", ignore=shutil.ignore_patterns(*UNWANTED))
        (root / ".dvc").mkdir()
        for name in ("Makefile", "pyproject.toml", "README.md"):
            shutil.copy2(ROOT / name, root)
        for name in ("requirements.lock", "requirements-cluster.lock"):
            (root / name).touch()
        return cls(root)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        unwanted = ("PYTHON", "MAKE", "VIRTUAL_ENV")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)

    def setup(self) -> subprocess.CompletedProcess[str]:
        python = self.root.parent / "python"
        python.write_text(PYTHON)
        python.chmod(0o755)
        return self.run("make", "setup", "setup-cluster", "PYTHON=../python")

    def mended(self) -> str:
        result = self.setup()
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout

    def code(self, command: str) -> Path:
        """The folder of the package that a command in a shell here imports."""
        result = self.run("sh", "-c", f"{command} -c 'import seqmnist; print(seqmnist.__file__)'")
        return Path(result.stdout.strip()).parent


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    repository = Repository.made(tmp_path_factory.mktemp("original") / "seqmnist")
    assert "installing" in repository.mended()
    return repository


def test_a_copied_environment_runs_the_code_of_the_copy(original: Repository, tmp_path: Path) -> None:
    name = "mü (1) #2/it's [x]; &/far " + "away" * 40
    copy = Repository(Path(shutil.copytree(original.root, tmp_path / name, symlinks=True)))
    refused = copy.run(".venv/bin/seqmnist", "sync")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"error: this environment runs the code in {original.root}/src/accord, not that in {copy.root}/src/accord: "
        "install that one (`make setup` or `pip install -e .`), or set PYTHONPATH=src\n"
    )
    script = copy.root / ".venv-cluster/bin/seqmnist"  # as pip writes it, and an earlier version left it
    script.write_text(f"#!{original.root}/.venv-cluster/bin/python\n" + script.read_text().partition("' '''\n")[2])

    assert copy.mended() == MENDED

    for environment in ENVIRONMENTS:
        for command in (f"{environment}/bin/python", f". {environment}/bin/activate && python"):
            assert copy.code(command) == copy.root / "src/seqmnist", command
        entered = copy.run(
            "sh", "-c", f". {environment}/bin/activate && cd / && command -v seqmnist && seqmnist --help"
        )
        assert entered.stdout.startswith(f"{copy.root}/{environment}/bin/seqmnist\nusage: seqmnist")
    assert copy.run(".venv/bin/seqmnist", "sync").stderr.startswith("error: params.yaml is missing")
    assert "Nothing to be done" in copy.mended()
    assert original.code(".venv/bin/python") == original.root / "src/seqmnist"
    assert "Nothing to be done" in original.mended()


def test_a_link_to_an_environment_elsewhere_is_left_alone(original: Repository, tmp_path: Path) -> None:
    other = Repository.made(tmp_path / "other")
    for environment in ENVIRONMENTS:
        (other.root / environment).symlink_to(original.root / environment)
        (original.root / environment / ".ready").touch()
    assert "Nothing to be done" in other.mended()
    assert original.code(".venv/bin/python") == original.root / "src/seqmnist"


@pytest.mark.parametrize("name", ["a:b", 'a"b', "a$b", "a`b", "a\\b", "a%20b"])
def test_a_path_that_an_environment_cannot_have_is_refused_in_a_line(tmp_path: Path, name: str) -> None:
    refused = Repository.made(tmp_path / name).setup()
    assert refused.returncode == 2
    line, *_ = refused.stderr.splitlines()
    assert line == (
        f'error: {tmp_path}/{name}: an environment cannot be below a path with one of : " $ ` \\ %: move the repository'
    )
    assert not (tmp_path / name / ".venv").exists()
