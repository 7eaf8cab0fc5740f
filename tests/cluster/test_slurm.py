"""Sweeps on a real Slurm of two nodes on this machine, as deploy/slurm.sh starts it."""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import mlflow
import pytest

from accord.files import sha256_file
from tests import mlflow_store
from tests.cluster.conftest import need, need_root
from tests.cluster.searches import SEARCH, assert_searched

pytestmark = pytest.mark.timeout(300)
SCRIPT = Path(__file__).parents[2] / "deploy/slurm.sh"
SWEEP = ("python", "-m", "seqmnist.sweep", "-m", "hydra.sweep.dir=sweeps/one")
SLURM = ("hydra/launcher=submitit_slurm", "hydra.launcher.mem_gb=null")
MANY = 3500  # epochs of a training that is longer than a job
ENDING_SECONDS = 20  # until a job's last processes on its node are gone
RESUME = ("python", "-m", "seqmnist", "resume", "sweeps/one")


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    """Start Slurm and yield the environment for its commands."""
    need("slurmctld", "slurmd", "munged")
    need_root("Slurm's daemons start jobs as their users")
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:
        started = subprocess.run([SCRIPT, "start", folder], capture_output=True, text=True, check=False)
        assert started.returncode == 0, started.stderr + logs(Path(folder))
        try:
            yield {"SLURM_CONF": f"{folder}/slurm.conf", "PYTHONPATH": "src"}
        finally:
            subprocess.run([SCRIPT, "stop", folder], check=True)


def logs(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.glob("*.log"))


def command(slurm: dict[str, str], *words: str) -> str:
    """Run a command of Slurm and return its output."""
    return subprocess.run(words, env=os.environ | slurm, check=True, capture_output=True, text=True).stdout


def runs(project: Any, sweep: str = "one") -> tuple[Any, list[Any]]:
    """Return the run of a sweep, and the runs of its trials."""
    client = mlflow.MlflowClient(f"sqlite:///{project.root}/mlflow.db")
    found = client.search_runs([client.get_experiment_by_name("seqmnist-sweeps").experiment_id])
    (parent,) = [run for run in found if run.info.run_name == f"sweep {sweep}"]
    trials = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    for run in trials:
        for name in run.data.metrics:
            steps = [point.step for point in client.get_metric_history(run.info.run_id, name)]
            assert len(steps) == len(set(steps)), (name, steps)
    return parent, trials


def weights(project: Any, sweep: str) -> dict[str, str]:
    folder = project.root / "sweeps" / sweep
    return {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*.weights.h5")}


def wait_for_epoch(project: Any, number: int) -> None:
    """Wait until the log of the first trial has an epoch; the test's timeout limits it."""
    log = project.root / "sweeps/one/0/trial.log"
    while not (log.exists() and re.search(rf"^rnn.* {number}/", log.read_text(), re.MULTILINE)):
        time.sleep(0.2)


def test_a_sweep_is_one_array_of_jobs_on_both_nodes(project: Any, slurm: dict[str, str]) -> None:
    values = ("cell=rnn", "seed=1,2,3,4", "train.epochs=2")

    started = time.monotonic()
    output = project.succeed(*SWEEP, *SLURM, *values, **slurm).output
    print(f"four trials of two epochs on Slurm: {time.monotonic() - started:.0f} s")

    assert "WARNING" not in output
    kept = sorted(path.name for path in (project.root / "sweeps/one/.submitit").glob("[0-9]*"))
    job = kept[0]
    assert kept == [job, *(f"{job}_{number}" for number in range(4))]
    nodes = {re.search(r" NodeList=(\S+)", command(slurm, "scontrol", "show", "job", name))[1] for name in kept[1:]}  # type: ignore[index]
    assert nodes == {"n1", "n2"}
    parent, trials = runs(project)
    assert [run.info.status for run in (parent, *trials)] == ["FINISHED"] * 5
    started = time.monotonic()
    project.succeed(*SWEEP, "hydra.sweep.dir=sweeps/two", *values, PYTHONPATH="src")
    print(f"the same on joblib: {time.monotonic() - started:.0f} s")
    assert weights(project, "one") == weights(project, "two"), "Slurm's are joblib's"
    assert len(weights(project, "one")) == 4


@pytest.mark.timeout(1800)
def test_a_job_that_is_out_of_time_resumes_from_its_checkpoint(project: Any, slurm: dict[str, str]) -> None:
    """Slurm counts time in minutes, and may signal a minute early."""
    limits = ("hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=30", "hydra.launcher.max_num_timeout=9")
    values = ("cell=rnn", "seed=1", f"train.epochs={MANY}")
    with ExitStack() as ending:
        process = project.start(*SWEEP, *SLURM, *limits, *values, **slurm)
        ending.callback(process.terminate)
        wait_for_epoch(project, 0)
        undisturbed = project.start(*SWEEP, "hydra.sweep.dir=sweeps/two", *values, PYTHONPATH="src")
        ending.callback(undisturbed.terminate)
        requeued = begin_again_sooner(process, slurm)
        output = process.communicate()[0]
        other = undisturbed.communicate()[0]
        assert undisturbed.returncode == 0, other

    assert process.returncode == 0, output
    assert requeued
    assert "rnn: resuming at epoch " in (project.root / "sweeps/one/0/trial.log").read_text()
    assert weights(project, "one") == weights(project, "two")
    assert len(project_history(project)) == MANY
    parent, (trial,) = runs(project)
    assert (parent.info.status, trial.info.status) == ("FINISHED", "FINISHED")


def begin_again_sooner(process: Any, slurm: dict[str, str]) -> int:
    """Wait for the end of a sweep of one job, start requeued jobs at once, and return how often it was requeued."""
    job = command(slurm, "squeue", "--noheader", "--format=%F").strip()
    requeued, since = 0, None
    while process.poll() is None:
        if "BeginTime" not in command(slurm, "squeue", "--noheader", "--format=%r"):
            since = None
        elif since is None:
            requeued, since = requeued + 1, time.monotonic()
        elif time.monotonic() - since > ENDING_SECONDS:
            command(slurm, "scontrol", "update", f"JobId={job}", "StartTime=now")
        time.sleep(0.5)
    return requeued


def project_history(project: Any) -> list[str]:
    lines: list[str] = (project.root / "sweeps/one/0/reports/train/rnn/history.csv").read_text().splitlines()
    return lines[1:]


def test_ctrl_c_cancels_the_jobs_and_resume_continues(project: Any, slurm: dict[str, str]) -> None:
    with project.start(*SWEEP, *SLURM, "cell=rnn", "seed=1,2", "train.epochs=400", **slurm) as process:
        wait_for_epoch(project, 5)
        process.send_signal(signal.SIGINT)
        output = process.communicate()[0]

    assert process.returncode == 130, output
    assert "sweep one: stopped; `seqmnist resume sweeps/one` runs what is missing" in output
    assert command(slurm, "squeue", "--noheader") == ""
    parent, trials = runs(project)
    assert {run.info.status for run in (parent, *trials)} == {"KILLED"}

    project.succeed(*RESUME, **slurm)

    parent, trials = runs(project)
    assert [run.info.status for run in (parent, *trials)] == ["FINISHED"] * 3
    assert "rnn seed=1: resuming at epoch " in (project.root / "sweeps/one/0/trial.log").read_text()


def test_a_killed_job_is_reported_and_the_others_continue(project: Any, slurm: dict[str, str]) -> None:
    with project.start(*SWEEP, *SLURM, "cell=rnn", "seed=1,2", "train.epochs=100", **slurm) as process:
        wait_for_epoch(project, 1)
        job = command(slurm, "squeue", "--noheader", "--format=%F").split()[0]
        command(slurm, "scancel", f"{job}_0")
        output = process.communicate()[0]

    assert process.returncode == 1
    assert "Traceback" not in output
    assert re.search(r"^ +0  rnn seed=1 KILLED: ", output, re.MULTILINE), output
    assert output.splitlines()[-1].startswith("error: ")
    assert sorted(run.info.status for run in runs(project)[1]) == ["FINISHED", "KILLED"]
    project.succeed(*RESUME, **slurm)
    assert [run.info.status for run in runs(project)[1]] == ["FINISHED"] * 2


def test_a_sweep_whose_driver_is_gone_is_not_started_twice(project: Any, slurm: dict[str, str]) -> None:
    """The jobs wait in Slurm, so that no process of a trial exists that could end itself."""
    hold = command(slurm, "sbatch", "--parsable", "--nodes=2", "--output=/dev/null", "--wrap=sleep 250").strip()
    with project.start(*SWEEP, *SLURM, "cell=rnn", "seed=1,2", **slurm) as process:
        while not command(slurm, "squeue", "--noheader", "--states=PENDING", "--name=sweep"):
            time.sleep(0.2)
        process.kill()
        process.communicate()

    refused = project.run(*RESUME, **slurm)

    assert refused.code == 1
    (line,) = refused.output.splitlines()
    job = re.search(r"is in use by Slurm \(jobs (\d+)\): wait for their end, or run `scancel \1`$", line)
    assert job, line
    command(slurm, "scancel", job[1], hold)
    project.succeed(*RESUME, **slurm)
    assert [run.info.status for run in runs(project)[1]] == ["FINISHED"] * 2


@pytest.mark.timeout(600)
def test_a_search_prunes_running_jobs(project: Any, slurm: dict[str, str]) -> None:
    """The search waits for two batches of jobs, and submitit sees each end up to half a minute late."""
    count = 4
    given = ("cell=rnn", *SEARCH, f"hydra.sweeper.n_trials={count}", "hydra.sweeper.workers=2")
    output = project.succeed(*SWEEP, *SLURM, *given, **slurm).output

    assert "Traceback" not in output
    assert len([*(project.root / "sweeps/one/.submitit").glob("[0-9]*_0")]) == 2, "an array for each batch"
    parent, trials = runs(project)
    assert_searched(
        project.root / "sweeps/one",
        count,
        parent,
        trials,
        lambda run: mlflow_store.steps(project, run, "val.accuracy"),
    )


def test_a_search_needs_the_number_of_parallel_jobs(project: Any, slurm: dict[str, str]) -> None:
    refused = project.run(*SWEEP, *SLURM, "cell=rnn", *SEARCH, **slurm)

    assert refused.code == 1
    (line,) = refused.output.splitlines()
    assert line.startswith("error: hydra.sweeper.workers = auto: with Slurm, give the number of jobs to run at a time")
    assert not (project.root / "sweeps").exists()


def test_a_script_that_would_start_beside_another_is_refused(slurm: dict[str, str]) -> None:
    folder = str(Path(slurm["SLURM_CONF"]).parent)
    again = subprocess.run([SCRIPT, "start", folder], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr.splitlines()) == (
        1,
        [f"error: {folder} is in use: deploy/slurm.sh stop {folder}"],
    )
