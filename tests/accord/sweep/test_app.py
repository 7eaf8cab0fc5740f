import subprocess
import sys
from pathlib import Path

import pytest

from accord.errors import UserError
from accord.sweep.app import check_options

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-m", "cell=rnn,lstm", "--cfg", "job"], "--multirun and --cfg exclude each other"),
        (["--cfg", "all", "--multirun"], "--multirun and --cfg exclude each other"),
        (["-m", "-c", "hydra", "--resolve"], "--multirun and --cfg exclude each other"),
        (["-m", "--info"], "--multirun and --info exclude each other"),
        (["-i", "defaults", "-c", "job"], "--cfg and --info exclude each other"),
        (["-r", "-m"], "--run and --multirun exclude each other"),
        (["-sc", "install=bash", "-m"], "--multirun and --shell-completion exclude each other"),
        (["--resolve", "seed=1"], "--resolve has no effect without --cfg"),
        (["--hydra-help", "--resolve"], "--resolve has no effect without --cfg"),
        (["-m", "-p", "train"], "--package has no effect without --cfg"),
        (["-sc"], "--shell-completion takes"),
        (["-sc", "install=csh"], "--shell-completion takes"),
        (["-sc", "query=bash"], "--shell-completion takes"),
        (["-sc", "install=bash", "uninstall=zsh"], "--shell-completion takes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_exclude_each_other_are_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.delenv("COMP_LINE", raising=False)
    monkeypatch.setattr(sys, "argv", ["seqmnist.sweep", *arguments])
    with pytest.raises(UserError) as caught:
        check_options()
    (line,) = str(caught.value).splitlines()
    assert told in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--cfg", "job", "cell=gru"], "type: gru"),
        (["-c", "job", "-p", "train"], "# @package train"),
        (["--cfg", "all", "--resolve"], "experiment: seqmnist-sweeps"),
        (["--cfg", "hydra", "search=optuna"], "n_startup_trials: 6"),
        (["--info"], "Config search path"),
        (["--info", "defaults-tree"], "search: null"),
        (["--help", "--resolve"], "cell: gru, lstm, rnn"),
        (["-m", "--hydra-help"], "See https://hydra.cc"),
        (["--version"], "Hydra 1."),
        (["-sc", "install=zsh"], "complet"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_hydras_options_for_showing_a_configuration_work(arguments: list[str], shown: str) -> None:
    command = [sys.executable, "-m", "seqmnist.sweep", *arguments]
    environment = {"PYTHONPATH": "src", "PATH": ""}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert shown in result.stdout


def test_a_shell_completes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["seqmnist.sweep", "-sc", "query=bash"])
    monkeypatch.setenv("COMP_LINE", "seqmnist-sweep -m cell=")
    check_options()
