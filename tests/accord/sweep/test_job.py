import signal
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from accord.files import sha256_file
from accord.sweep import job
from accord.sweep.folders import Result, TrialSettings


@pytest.mark.parametrize(
    ("code", "log", "status", "error"),
    [
        (-signal.SIGKILL, "", "KILLED", "killed by SIGKILL"),
        (130, "", "KILLED", "stopped"),
        (143, "terminated\n", "KILLED", "stopped"),
        (1, "epoch 0\nerror: it diverged\n", "FAILED", "it diverged"),
        (1, "", "FAILED", "exit code 1"),
        (3, None, "FAILED", "exit code 3"),
    ],
)
def test_the_exit_code_and_output_say_why_a_trial_failed(
    tmp_path: Path, code: int, log: str | None, status: str, error: str
) -> None:
    if log is not None:
        (tmp_path / "trial.log").write_text(log)
    assert job._failure(code, tmp_path) == (status, error)


@pytest.mark.parametrize("status", ["FINISHED", "PRUNED"])
def test_a_trial_killed_after_its_work_is_over(tmp_path: Path, status: Any) -> None:
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    trial = TrialSettings("rnn", None, 0, "data", 1)
    digest = sha256_file(tmp_path / "params.yaml")
    Result("KILLED", digest, error="stopped").write(tmp_path)  # of an earlier attempt
    assert job._ended(tmp_path, trial, -signal.SIGTERM) == Result("KILLED", digest, error="killed by SIGTERM")
    done = Result(status, digest, epoch=3)
    done.write(tmp_path)
    assert job._ended(tmp_path, trial, -signal.SIGTERM) == done


def test_a_params_file_with_the_same_values_is_kept(tmp_path: Path) -> None:
    path, values = tmp_path / "params.yaml", {"train": {"epochs": 3}, "seeds": [1], "clip": None}
    path.write_text("clip:\n# an earlier version wrote them in another order\nseeds: [1]\ntrain: {epochs: 3}\n")
    before = path.read_bytes()
    job._write_params(path, values)
    assert path.read_bytes() == before
    for others in (values | {"seeds": [2]}, values | {"train": {"epochs": 3.0}}, {"train": {"epochs": 3}}):
        job._write_params(path, others)
        assert OmegaConf.to_container(OmegaConf.load(path)) == others


@pytest.mark.parametrize("broken", [None, b"", b"[1", b"\xff"])
def test_a_broken_params_file_is_replaced(tmp_path: Path, broken: bytes | None) -> None:
    path = tmp_path / "params.yaml"
    if broken is not None:
        path.write_bytes(broken)
    job._write_params(path, {"seed": 1})
    assert path.read_text() == "seed: 1\n"
