import signal
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from seqmnist import config
from seqmnist.compose import compose as compose_pipeline
from seqmnist.errors import UserError
from seqmnist.sweep import job, places

CONF = Path(__file__).parents[2] / "conf"


def composed(*overrides: str) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("sweep", overrides=list(overrides))


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_without_overrides_a_trial_is_what_the_pipeline_trains(cell: str) -> None:
    trial = config.validate(job.pipeline_values(composed(f"cell={cell}")), "trial")
    pipeline = config.validate(compose_pipeline(CONF)[1], "pipeline")
    assert trial.cells[cell] == pipeline.cells[cell]
    assert trial.train_of(cell) == pipeline.train_of(cell)
    assert (trial.data, trial.sequence, trial.seeds) == (pipeline.data, pipeline.sequence, pipeline.seeds)


def test_an_added_key_reaches_the_schema_that_refuses_it() -> None:
    values = job.pipeline_values(composed("+nonsense=1"))
    with pytest.raises(UserError, match="nonsense: unknown key"):
        config.validate(values, "trial")


@pytest.mark.parametrize(("workers", "share"), [(1, 4), (2, 2), (4, 1), (9, 1), (-1, 1)])
def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch, workers: int, share: int) -> None:
    import joblib

    monkeypatch.setattr(joblib, "effective_n_jobs", lambda jobs: 4 if jobs == -1 else jobs)
    assert places.threads(OmegaConf.create({"n_jobs": workers})) == share
    assert places.threads(OmegaConf.create({})) == 4


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
