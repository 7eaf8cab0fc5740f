import re
import subprocess
import sys

import pytest

COMMANDS = ["check", "compose", "check-server", "move-store", "promote", "resume", "schema", "sync"]
HEAVY = {
    "dvc", "hydra", "keras", "matplotlib", "mlflow", "numpy", "omegaconf", "pandas", "pydantic", "ray", "requests",
    "sklearn", "sqlalchemy", "tensorflow",
}  # fmt: skip


def run(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, "-m", "seqmnist", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_names_each_command() -> None:
    result = run("--help")
    assert result.returncode == 0
    assert re.findall(r"^    (\S+)\s", result.stdout, re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=" ".join)
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    result = run(*command, "--help", python=("-X", "importtime"))
    assert result.returncode == 0
    assert result.stdout.startswith(" ".join(["usage: seqmnist", *command]))
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert "argparse" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["check", "all"],
        ["promote"],
        ["resume"],
        ["move-store", "postgresql://a@b/c"],
        ["sync", "more"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_ends_with_the_usage(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("usage: seqmnist")
