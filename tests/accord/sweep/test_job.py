import signal
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from accord.sweep import job, trial_hosts


@pytest.mark.parametrize(("workers", "share"), [(1, 4), (2, 2), (4, 1), (9, 1), (-1, 1)])
def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch, workers: int, share: int) -> None:
    import joblib

    monkeypatch.setattr(joblib, "effective_n_jobs", lambda jobs: 4 if jobs == -1 else jobs)
    assert trial_hosts.threads(OmegaConf.create({"n_jobs": workers})) == share
    assert trial_hosts.threads(OmegaConf.create({})) == 4


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
def test_how_a_process_ended_says_why_the_trial_failed(
    tmp_path: Path, code: int, log: str | None, status: str, error: str
) -> None:
    if log is not None:
        (tmp_path / "trial.log").write_text(log)
    assert job._failure(code, tmp_path) == (status, error)
