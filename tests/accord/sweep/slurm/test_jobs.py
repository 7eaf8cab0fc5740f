"""Slurm jobs of a sweep, with stand-ins for Slurm's commands; tests/cluster uses the real ones."""

import os
from pathlib import Path

import pytest

from accord.errors import UserError
from accord.sweep import app
from accord.sweep.slurm import jobs


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Make a sweep whose trials were the job array 7 and, after a resume, the job 12."""
    for name in ("7", "7_0", "7_1", "12"):
        (tmp_path / "sweep/.submitit" / name).mkdir(parents=True)
    return tmp_path / "sweep"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of stand-in commands, the only one in PATH: `squeue` lists the jobs in the file `queue`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "queue").touch()
    listed = 'case ",${3#--jobs=}," in *",$job,"*) echo "$job" ;; esac'
    programs = {
        "sbatch": "exit 1",
        "squeue": f"while read -r job; do {listed}; done <{folder}/queue",
        "scancel": f'echo "$@" >{folder}/cancelled; : >{folder}/queue',
    }
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\ntrue\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_only_jobs_of_this_sweep_are_found_and_cancelled(sweep: Path, slurm: Path) -> None:
    (slurm / "queue").write_text("7\n8\n")
    assert jobs.queued(sweep) == ["7"]

    jobs.cancel(sweep)

    assert (slurm / "cancelled").read_text() == "7\n"
    assert jobs.queued(sweep) == []


def test_a_sweep_whose_jobs_still_run_is_refused(sweep: Path, slurm: Path) -> None:
    (slurm / "queue").write_text("12\n7\n")
    with pytest.raises(UserError, match=r"is in use by Slurm \(jobs 12 7\): wait for their end, or run `scancel 12 7`"):
        jobs.prepare(sweep)


def test_a_machine_without_slurm_is_refused(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    assert jobs.queued(sweep) == []
    with pytest.raises(UserError, match="no command sbatch here"):
        jobs.prepare(sweep)


def test_errors_that_are_not_submitits_are_raised_unchanged() -> None:
    with pytest.raises(ValueError, match="mine"), app._user_errors():
        raise ValueError("mine")
