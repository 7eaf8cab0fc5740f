"""Check that accord's README agrees with the code."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from accord.project import Project

ACCORD = Path(__file__).parents[2] / "src/accord"
README = (ACCORD / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
FINDS_PROJECT = '[tool.accord]\nproject = "digits_project:PROJECT"\n'


def rows(header: str) -> list[str]:
    """Return the first column of the README's table whose first column has this header."""
    _, _, table = README.partition(f"| {header} |")
    return re.findall(r"^\| `([a-z-]+)` \|", table.partition("\n\n")[0], re.MULTILINE)


def test_the_example_of_a_project_is_a_project() -> None:
    names: dict[str, Any] = {}
    exec(EXAMPLES[0], names)
    assert isinstance(names["PROJECT"], Project)


def test_the_example_of_a_stage_logs_a_run(tmp_path: Path, no_store: None, monkeypatch: pytest.MonkeyPatch) -> None:
    del no_store
    project, stage = EXAMPLES
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/history.csv").touch()
    (tmp_path / "params.yaml").write_text("tracking: {uri: null, experiment: digits}\n")
    (tmp_path / "pyproject.toml").write_text(FINDS_PROJECT)
    (tmp_path / "digits_project.py").write_text(project)
    (tmp_path / "stage.py").write_text(stage)
    monkeypatch.setenv("PYTHONPATH", str(ACCORD.parent))
    subprocess.run([sys.executable, "stage.py"], cwd=tmp_path, check=True)
    artifacts = (path.name for path in tmp_path.glob("mlartifacts/**/*.*"))
    assert sorted(artifacts) == ["history.csv", "params.yaml"]


def test_every_command_and_extra_is_named() -> None:
    helped = subprocess.run([sys.executable, "-m", "seqmnist", "--help"], capture_output=True, text=True, check=True)
    assert rows("command") == re.findall(r"^    (\S+)\s", helped.stdout, re.MULTILINE)
    extras = tomllib.loads((ACCORD / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert sorted(rows("extra")) == sorted(extras)
