"""Sweeps by the real command: trials, failures, interruption, and what MLflow says of them."""

import contextlib
import csv
import re
import signal
import subprocess
import urllib.parse
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest
from mlflow.entities import Run

PARENT = "mlflow.parentRunId"
SWEEP = ("python", "-m", "seqmnist.sweep", "-m")
EPOCHS = 120
MANY = 4000  # epochs: a training that does not end while a test looks at it


def client(project: Any) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")


def runs(project: Any) -> list[Run]:
    store = client(project)
    experiment = store.get_experiment_by_name("seqmnist-sweeps")
    return list(store.search_runs([experiment.experiment_id])) if experiment else []


def parent_and_trials(project: Any) -> tuple[Run, dict[str, Run]]:
    """The one sweep's own run, and those of its trials by name."""
    (parent,) = [run for run in runs(project) if PARENT not in run.data.tags]
    trials = [run for run in runs(project) if run.data.tags.get(PARENT) == parent.info.run_id]
    assert len({run.info.run_name for run in trials}) == len(trials)
    return parent, {str(run.info.run_name): run for run in trials}


def sweep_folder(project: Any) -> Path:
    (folder,) = (project.root / "sweeps").iterdir()
    return Path(folder)


def artifacts(run: Run) -> Path:
    return Path(urllib.parse.unquote(urllib.parse.urlsplit(run.info.artifact_uri).path))


def sweep(project: Any, *overrides: str, **environment: str) -> Any:
    return project.run(*SWEEP, *overrides, PYTHONPATH="src", **environment)


def processes_in(project: Any) -> list[psutil.Process]:
    """The processes of trials of this clone."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if "accord.sweep.trial" in command and str(project.root) in command[-2]:
            found.append(process)
    return found


@pytest.fixture(scope="module")
def swept(reproduced: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A clone after a sweep over cells and learning rates with two epochs, which the tests of this module read."""
    project = reproduced.copy(tmp_path_factory.mktemp("swept") / "clone")
    result = sweep(project, "cell=rnn,lstm", "train.learning_rate=1e-3,2e-2", "train.epochs=2")
    assert result.code == 0, result.output
    (project.root / "output.txt").write_text(result.output)
    return project


def test_each_combination_is_a_trial_named_by_what_was_swept(swept: Any) -> None:
    parent, trials = parent_and_trials(swept)
    assert sorted(trials) == ["lstm lr=0.001", "lstm lr=0.02", "rnn lr=0.001", "rnn lr=0.02"]
    assert parent.info.status == "FINISHED"
    assert {run.info.status for run in trials.values()} == {"FINISHED"}
    assert trials["lstm lr=0.02"].data.params["train.learning_rate"] == "0.02"
    for run in trials.values():
        for metric in ("val.accuracy", "train.loss", "time.epoch_seconds"):
            steps = [point.step for point in client(swept).get_metric_history(run.info.run_id, metric)]
            assert steps == [0, 1]
        assert len(run.outputs.model_outputs) == 1


def test_a_trial_with_the_pipelines_values_has_its_very_weights(swept: Any) -> None:
    _, trials = parent_and_trials(swept)
    for cell in ("rnn", "lstm"):
        number = trials[f"{cell} lr=0.001"].data.tags["sweep.trial"]
        name = f"models/{cell}/seed-42.weights.h5"
        trial = sweep_folder(swept) / number / name
        assert trial.read_bytes() == (swept.root / name).read_bytes()


def test_the_sweeps_run_has_its_best_trial_a_table_and_figures(swept: Any) -> None:
    parent, trials = parent_and_trials(swept)
    best = max(run.data.metrics["selected.val.accuracy"] for run in trials.values())
    assert parent.data.metrics["best.val.accuracy"] == best
    chosen = client(swept).get_run(parent.data.tags["best.run_id"])
    assert chosen.data.metrics["selected.val.accuracy"] == best
    with (artifacts(parent) / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} == set(trials)
    assert {(row["cell.type"], float(row["train.learning_rate"])) for row in rows} == {
        (cell, rate) for cell in ("rnn", "lstm") for rate in (0.001, 0.02)
    }
    for figure in ("parallel_coordinates.png", "learning_curves.png"):
        assert (artifacts(parent) / figure).read_bytes().startswith(b"\x89PNG")


def test_the_terminal_shows_each_trial_and_the_best(swept: Any) -> None:
    output = (swept.root / "output.txt").read_text()
    assert (
        len(re.findall(r"^#\d (rnn|lstm) lr=\S+: validation accuracy 0\.\d+ \(epoch \d\)$", output, re.MULTILINE)) == 4
    )
    assert "Traceback" not in output
    assert "Warning" not in output


def test_the_winner_goes_back_into_the_pipeline_and_gives_the_same_accuracy(swept: Any, tmp_path: Path) -> None:
    project = swept.copy(tmp_path / "clone")
    for name in ("mlflow.db", "mlartifacts"):
        assert not (project.root / name).exists()
    _, trials = parent_and_trials(swept)
    winner = trials["lstm lr=0.02"]
    store = f"sqlite:///{swept.root / 'mlflow.db'}"
    before = {cell: (project.root / f"models/{cell}/seed-42.weights.h5").read_bytes() for cell in ("rnn", "lstm")}

    result = project.succeed(
        "python", "-m", "seqmnist", "promote", winner.info.run_id, PYTHONPATH="src", MLFLOW_TRACKING_URI=store
    )

    command = result.output.splitlines()[-1]
    assert command == "dvc exp run -S experiment=lstm_lr-0.02"
    text = (project.root / "conf/experiment/lstm_lr-0.02.yaml").read_text()
    assert "cells:\n  lstm:\n    train:\n      learning_rate: 0.02\n" in text
    assert winner.info.run_id in text
    assert "python -m seqmnist.sweep -m cell=rnn,lstm" in text

    run = project.succeed(*command.split())

    assert "train@rnn" not in run.stages_run
    assert "train@lstm" in run.stages_run
    metrics = project.metrics()["lstm"]["selected"]
    assert metrics["val"]["accuracy"] == winner.data.metrics["selected.val.accuracy"]
    assert metrics["test"]["accuracy"] == winner.data.metrics["selected.test.accuracy"]
    assert (project.root / "models/rnn/seed-42.weights.h5").read_bytes() == before["rnn"]
    assert (project.root / "models/lstm/seed-42.weights.h5").read_bytes() != before["lstm"]


def test_of_a_whole_sweep_the_best_configuration_is_promoted(swept: Any, tmp_path: Path) -> None:
    parent, _ = parent_and_trials(swept)
    folder = sweep_folder(swept)
    written: list[str] = []
    for source in (parent.info.run_id, str(folder)):
        project = swept.copy(tmp_path / str(len(written)))
        arguments = ["python", "-m", "seqmnist", "promote", source, "--name", "winner"]
        store = f"sqlite:///{swept.root / 'mlflow.db'}"
        project.succeed(*arguments, PYTHONPATH="src", MLFLOW_TRACKING_URI=store)
        written.append((project.root / "conf/experiment/winner.yaml").read_text())
    assert written[0] == written[1]
    assert f"Validation accuracy {parent.data.metrics['best.val.accuracy']:.4f}" in written[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["promote", "0123"], "'0123' is no run of"),
        (["promote", "conf"], "conf is not the folder of a sweep"),
        (["resume", "conf"], "conf is not the folder of a sweep"),
    ],
)
def test_a_wrong_source_is_told_in_one_line(swept: Any, arguments: list[str], message: str) -> None:
    result = swept.run("python", "-m", "seqmnist", *arguments, PYTHONPATH="src")
    assert result.code == 1
    (line,) = result.output.splitlines()
    assert line.startswith(f"error: {message}")


def test_trials_that_fail_do_not_disturb_the_others(project: Any) -> None:
    result = sweep(project, "cell=rnn", "cell.units=0,8", "train.learning_rate=1e-3,1e38")

    assert result.code == 1
    assert "Traceback" not in result.output
    parent, trials = parent_and_trials(project)
    assert parent.info.status == "FAILED"
    assert {name: run.info.status for name, run in trials.items()} == {
        "rnn units=0 lr=0.001": "FAILED",
        "rnn units=0 lr=1e+38": "FAILED",
        "rnn units=8 lr=0.001": "FINISHED",
        "rnn units=8 lr=1e+38": "FAILED",
    }
    assert "cells.rnn.units = 0 is impossible" in trials["rnn units=0 lr=0.001"].data.tags["error"]
    assert "training diverged" in trials["rnn units=8 lr=1e+38"].data.tags["error"]
    *table, last = result.output.splitlines()
    assert last.startswith("error: 3 of 4 trials did not finish: `seqmnist resume sweeps/")
    assert sum("FAILED: " in line for line in table[-4:]) == 3


def test_a_killed_trial_is_killed_in_mlflow_and_resume_finishes_it_from_its_checkpoint(project: Any) -> None:
    process = project.start(*SWEEP, "cell=rnn", "seed=1,2", f"train.epochs={EPOCHS}", PYTHONPATH="src")
    folder = wait_for_epochs(project, process)
    (victim,) = [one for one in processes_in(project) if one.cmdline()[-2] == str(folder / "0")]
    victim.kill()
    output, _ = process.communicate()

    assert process.returncode == 1
    parent, trials = parent_and_trials(project)
    assert {name: run.info.status for name, run in trials.items()} == {
        "rnn seed=1": "KILLED",
        "rnn seed=2": "FINISHED",
    }
    assert trials["rnn seed=1"].data.tags["error"] == "killed by SIGKILL"
    assert "#0 rnn seed=1: KILLED: killed by SIGKILL" in output
    assert parent.info.status == "FAILED"

    other = (folder / "1/models/rnn/seed-2.weights.h5").stat().st_mtime_ns
    project.succeed("python", "-m", "seqmnist", "resume", str(folder), PYTHONPATH="src")

    again, finished = parent_and_trials(project)
    assert again.info.run_id == parent.info.run_id
    assert again.info.status == "FINISHED"
    assert {run.info.status for run in finished.values()} == {"FINISHED"}
    assert "error" not in finished["rnn seed=1"].data.tags
    assert {run.info.run_id for run in finished.values()} == {run.info.run_id for run in trials.values()}
    assert "resuming at epoch" in (folder / "0/trial.log").read_text()
    assert (folder / "1/models/rnn/seed-2.weights.h5").stat().st_mtime_ns == other, "it was not run again"
    assert exact_epochs(project, EPOCHS) == 2


def wait_for_epochs(project: Any, process: subprocess.Popen[str], trials: int = 2) -> Path:
    """The sweep's folder, when this many trials have trained for some epochs."""
    while True:
        logs = list((project.root / "sweeps").glob("*/*/trial.log"))
        if len([log for log in logs if " 3/" in log.read_text()]) == trials:
            return Path(logs[0].parents[1])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            pytest.fail(f"the sweep ended: {process.communicate()}")


def exact_epochs(project: Any, epochs: int) -> int:
    """How many trials there are, each of which must have every metric once an epoch."""
    _, trials = parent_and_trials(project)
    for run in trials.values():
        for metric in ("train.loss", "val.accuracy", "test.accuracy", "time.epoch_seconds"):
            steps = [point.step for point in client(project).get_metric_history(run.info.run_id, metric)]
            assert steps == list(range(epochs)), (run.info.run_name, metric)
    return len(trials)


@pytest.mark.parametrize("launcher", ["joblib", "basic"])
def test_ctrl_c_ends_the_trials_and_closes_the_sweep(project: Any, launcher: str) -> None:
    arguments = ["cell=rnn", "seed=1,2", f"train.epochs={MANY}", f"hydra/launcher={launcher}"]
    process = project.start(*SWEEP, *arguments, PYTHONPATH="src")
    started = 2 if launcher == "joblib" else 1
    wait_for_epochs(project, process, started)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()

    assert process.returncode == 130
    assert not processes_in(project)
    parent, trials = parent_and_trials(project)
    assert parent.info.status == "KILLED"
    assert {run.info.status for run in trials.values()} == {"KILLED"}
    assert len(trials) == started
    assert "Traceback" not in output
    assert f"stopped; `seqmnist resume sweeps/{sweep_folder(project).name}` runs what is missing" in output
    assert list(sweep_folder(project).glob("*/checkpoints/*/*/after-*")), "they can go on"


def test_trials_end_when_the_sweep_is_killed(project: Any) -> None:
    process = project.start(*SWEEP, "cell=rnn", "seed=1,2", f"train.epochs={MANY}", PYTHONPATH="src")
    wait_for_epochs(project, process)
    trials = processes_in(project)
    process.kill()
    _, alive = psutil.wait_procs(trials, timeout=60)
    assert not alive
    process.communicate()


def test_eight_trials_at_once_lose_no_metric(project: Any) -> None:
    result = sweep(project, "cell=rnn", "seed=range(0,8)", "train.epochs=20", "hydra.launcher.n_jobs=8")
    assert result.code == 0, result.output
    assert exact_epochs(project, 20) == 8


def test_optuna_looks_for_the_best_values(project: Any) -> None:
    search = ["search=optuna", "cell=rnn", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2"]
    units = "cell.units=choice(0,8)"  # 0 is impossible: that trial fails and the search goes on
    result = sweep(project, *search, units)
    assert "Traceback" not in result.output
    parent, trials = parent_and_trials(project)
    assert len(trials) == 4
    rates = {re.findall(r"lr=(\S+)", name)[0] for name in trials}
    assert len(rates) == 4
    best = (sweep_folder(project) / "optimization_results.yaml").read_text()
    accuracy = float(re.findall(r"best_value: (\S+)", best)[0])
    assert accuracy == parent.data.metrics["best.val.accuracy"]


def test_without_m_it_is_one_trial_that_shows_its_epochs(project: Any) -> None:
    result = project.run("python", "-m", "seqmnist.sweep", "cell=rnn", "cell.units=8", PYTHONPATH="src")
    assert result.code == 0, result.output
    assert "rnn units=8  0/1 loss" in result.output
    (run,) = runs(project)
    assert (run.info.run_name, run.info.status) == ("rnn units=8", "FINISHED")
    assert (sweep_folder(project) / "models/rnn/seed-42.weights.h5").read_bytes() == (
        project.root / "models/rnn/seed-42.weights.h5"
    ).read_bytes()

    failed = project.run("python", "-m", "seqmnist.sweep", "cell=rnn", "train.learning_rate=1e38", PYTHONPATH="src")
    assert failed.code == 1
    assert "error: training diverged" in failed.output
    assert "Traceback" not in failed.output


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.validation=12"], "data: data/processed was made with other values"),
        (["data=tiny,mnist"], "data=tiny,mnist: data can't be swept"),
        (["cell=rnn,nothing"], "nothing"),
        (["train.epoch=3"], "epoch"),
        (["tracking.experiment=''"], "tracking.experiment"),
        (["+hydra.callbacks.evil._target_=os.mkdir"], "error: hydra.callbacks.evil._target_ = os.mkdir: "),
        (["+train._target_=os.mkdir,os.rmdir"], "error: train._target_ = os.mkdir: "),
    ],
)
def test_a_sweep_that_cannot_work_leaves_nothing(project: Any, overrides: list[str], message: str) -> None:
    result = sweep(project, *overrides)
    assert result.code == 1
    assert message in result.output
    assert "Traceback" not in result.output
    assert runs(project) == []


def test_a_sweep_of_before_the_package_was_split_is_resumed(swept: Any, tmp_path: Path) -> None:
    """Its folder names a class of before wherever Hydra wrote one down, and one of its trials has no result."""
    project = swept.copy(tmp_path / "clone")
    folder = sweep_folder(project)
    named = [folder / "multirun.yaml", *folder.glob("*/.hydra/hydra.yaml")]
    for path in named:
        text = path.read_text().replace("accord.sweep.sweep_run.SweepRun", "seqmnist.sweep.parent.ParentRun")
        assert "seqmnist.sweep.parent.ParentRun" in text
        path.write_text(text)
    (folder / "0/result.json").unlink()
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*/models/*/*.weights.h5")}

    output = project.succeed("python", "-m", "seqmnist", "resume", str(folder), PYTHONPATH="src").output

    assert len(re.findall(r"^#\d (rnn|lstm) lr=\S+: validation accuracy", output, re.MULTILINE)) == 4
    changed = {path.parts[-4] for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {"0"}, "the others were not run again"


def test_a_sweep_needs_the_data(unrun: Any) -> None:
    result = sweep(unrun, "cell=rnn,lstm")
    assert result.code == 1
    assert result.output.splitlines()[-1] == "error: data/processed is missing: run `dvc repro preprocess`"
