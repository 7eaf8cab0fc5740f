from dataclasses import replace
from typing import Any

import pytest
from omegaconf import OmegaConf

from accord.errors import UserError
from accord.sweep import cores
from accord.sweep.launchers import JOBLIB, RAY, SLURM
from seqmnist.project import PROJECT

AUTO = None
HAS = 16  # cores of the machine


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a machine with 16 cores, and a project whose trials can use four."""

    def effective(jobs: int) -> int:
        return jobs if jobs > 0 else HAS + 1 + jobs

    monkeypatch.setattr("joblib.effective_n_jobs", effective)
    monkeypatch.setattr(cores, "effective_n_jobs", effective)
    monkeypatch.setattr(cores, "find_project", lambda: replace(PROJECT, cores=4))


@pytest.mark.parametrize(
    ("workers", "share"), [(1, 4), (2, 4), (5, 3), (8, 2), (16, 1), (30, 1), (-1, 1), (-9, 2), (-15, 4)]
)
def test_trials_side_by_side_share_the_cores_and_get_no_more_than_they_can_use(workers: int, share: int) -> None:
    assert cores.of_trial(OmegaConf.create({"_target_": JOBLIB, "n_jobs": workers})) == share


def test_a_trial_without_a_sweep_has_the_cores_that_it_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores.of_trial({}) == 4
    monkeypatch.setattr(cores, "find_project", lambda: replace(PROJECT, cores=None))
    assert cores.of_trial({}) == HAS


@pytest.mark.parametrize(("asked", "share"), [(None, 1), (0.5, 1), (1, 1), (3, 3), (6, 4)])
@pytest.mark.parametrize("kind", ["slurm", "ray"])
def test_a_job_has_the_cores_that_it_asked_for(kind: str, asked: float | None, share: int) -> None:
    slurm, ray = {"cpus_per_task": asked}, {"_target_": RAY, "ray": {"remote": {"num_cpus": asked}}}
    assert cores.of_trial(OmegaConf.create(slurm if kind == "slurm" else ray)) == share


@pytest.mark.parametrize(("has", "workers"), [(1, 2), (2, 2), (3, 2), (4, 2), (6, 3), (16, 8)])
def test_a_search_runs_as_many_trials_as_half_the_cores_and_two_at_least(
    monkeypatch: pytest.MonkeyPatch, has: int, workers: int
) -> None:
    monkeypatch.setattr("joblib.effective_n_jobs", lambda _: has)
    assert cores.search_workers(AUTO, OmegaConf.create({"_target_": JOBLIB, "n_jobs": -1})) == workers


@pytest.mark.parametrize(
    ("given", "launcher", "workers"),
    [
        (3, {"_target_": JOBLIB, "n_jobs": -1}, 3),
        (AUTO, {"_target_": JOBLIB, "n_jobs": 5}, 5),
        (5, {"_target_": JOBLIB, "n_jobs": 5}, 5),
        (7, {"_target_": SLURM}, 7),
        (AUTO, {"_target_": "a launcher that runs one after another"}, 1),
        (1, {"_target_": "a launcher that runs one after another"}, 1),
    ],
)
def test_a_given_number_of_workers_is_used(given: int | None, launcher: dict[str, Any], workers: int) -> None:
    assert cores.search_workers(given, OmegaConf.create(launcher)) == workers


@pytest.mark.parametrize(
    ("given", "launcher", "message"),
    [
        (3, {"_target_": JOBLIB, "n_jobs": 5}, "hydra.launcher.n_jobs = 5 has no effect: hydra.sweeper.workers = 3"),
        (AUTO, {"_target_": SLURM}, "hydra.sweeper.workers = auto: with Slurm, give the number"),
        (2, {"_target_": "mine.Launcher"}, "hydra.sweeper.workers = 2: the launcher mine.Launcher runs one trial"),
    ],
)
def test_workers_that_a_launcher_can_not_have_are_refused(
    given: int | None, launcher: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        cores.search_workers(given, OmegaConf.create(launcher))
