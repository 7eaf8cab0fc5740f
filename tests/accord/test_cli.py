import re
import subprocess
import sys

import pytest

HEAVY = {"tensorflow", "keras", "mlflow", "hydra", "dvc", "numpy", "matplotlib"}


def run(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, "-m", "seqmnist", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_names_each_command_and_imports_nothing_heavy() -> None:
    result = run("--help", python=("-X", "importtime"))
    assert result.returncode == 0
    for command in ("check", "check-server", "move-store", "promote", "resume", "sync"):
        assert re.search(rf"^    {command}\s", result.stdout, re.MULTILINE), command
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
