"""Sweeps by the real command: trials, failures, interruption, and their records in MLflow."""

import contextlib
import csv
import json
import re
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
import yaml
from mlflow.entities import Run

from tests import mlflow_store
from tests.mlflow_store import artifacts, client, steps
from tests.projects import Once, Project, Result

SWEEP = ("python", "-m", "digits.sweep", "-m")
EPOCHS = 40
MANY = 4000  # so many epochs that the training does not end within the test
LINE = r"^#\d (sgd|mlp) lr=\S+: validation accuracy 0\.\d+ \(epoch \d\)$"


def runs(project: Project) -> list[Run]:
    return mlflow_store.runs(project, "digits-sweeps")


def parent_and_trials(project: Project) -> tuple[Run, dict[str, Run]]:
    """Return the sweep's own run, and the runs of its trials by name."""
    return mlflow_store.parent_and_trials(project, "digits-sweeps")


def sweep_folder(project: Project) -> Path:
    (folder,) = (project.root / "sweeps").iterdir()
    return folder


def sweep(project: Project, *overrides: str) -> Result:
    return project.run(*SWEEP, *overrides, PYTHONPATH="src")


def processes_in(project: Project) -> list[psutil.Process]:
    """Return the processes of this project's trials."""
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
def swept(reproduced: Project, once: Once) -> Project:
    """Return a project after a sweep over models and learning rates. Tests read it and do not change it."""

    def make(target: Path) -> None:
        project = reproduced.copy(target)
        result = sweep(project, "model=sgd,mlp", "model.learning_rate=0.01,0.1", "train.epochs=3")
        assert result.code == 0, result.output
        (project.root / "output.txt").write_text(result.output)

    return Project(once("swept digits", make), reproduced.below)


def test_each_combination_is_a_trial_named_by_what_was_swept(swept: Project) -> None:
    parent, trials = parent_and_trials(swept)
    assert sorted(trials) == ["mlp lr=0.01", "mlp lr=0.1", "sgd lr=0.01", "sgd lr=0.1"]
    assert parent.info.status == "FINISHED"
    assert {run.info.status for run in trials.values()} == {"FINISHED"}
    assert trials["mlp lr=0.1"].data.params["model.learning_rate"] == "0.1"
    for run in trials.values():
        for metric in ("val.accuracy", "train.loss", "test.accuracy"):
            assert steps(swept, run, metric) == [0, 1, 2]
        assert len(run.outputs.model_outputs) == 1


def test_a_trial_with_the_pipelines_values_has_the_same_model(swept: Project) -> None:
    _, trials = parent_and_trials(swept)
    for model, rate in (("sgd", "0.1"), ("mlp", "0.01")):
        number = trials[f"{model} lr={rate}"].data.tags["sweep.trial"]
        name = f"models/{model}/model.pickle"
        trial = sweep_folder(swept) / number / name
        assert trial.read_bytes() == (swept.root / name).read_bytes()


def test_the_sweeps_run_has_its_best_trial_and_a_table(swept: Project) -> None:
    parent, trials = parent_and_trials(swept)
    best = max(run.data.metrics["selected.val.accuracy"] for run in trials.values())
    assert parent.data.metrics["best.val.accuracy"] == best
    chosen = client(swept).get_run(parent.data.tags["best.run_id"])
    assert chosen.data.metrics["selected.val.accuracy"] == best
    with (artifacts(parent) / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} == set(trials)
    assert {(row["model.type"], float(row["model.learning_rate"])) for row in rows} == {
        (model, rate) for model in ("sgd", "mlp") for rate in (0.01, 0.1)
    }


def test_the_terminal_shows_each_trial_and_the_best(swept: Project) -> None:
    output = (swept.root / "output.txt").read_text()
    assert len(re.findall(LINE, output, re.MULTILINE)) == 4
    best = parent_and_trials(swept)[0].data.metrics["best.val.accuracy"]
    assert f" {best:.4f} " in output.partition("\ntrial ")[2].splitlines()[1], "the best is the first of the table"
    assert "Traceback" not in output
    assert "Warning" not in output


@pytest.mark.slow
def test_resume_completes_a_sweep_that_lost_its_store_and_a_result(swept: Project, tmp_path: Path) -> None:
    project = swept.copy(tmp_path / "clone")
    assert not (project.root / "mlflow.db").exists()
    folder = sweep_folder(project)
    (folder / "0/result.json").unlink()
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*/models/*/model.pickle")}

    output = project.succeed("python", "-m", "digits", "resume", str(folder), PYTHONPATH="src").output

    parent, trials = parent_and_trials(project)
    before = parent_and_trials(swept)
    assert {name: run.data.metrics for name, run in trials.items()} == {
        name: run.data.metrics for name, run in before[1].items()
    }
    assert all(steps(project, run, "val.accuracy") == [0, 1, 2] for run in trials.values())
    assert (parent.info.status, parent.data.tags["best.trial"]) == ("FINISHED", before[0].data.tags["best.trial"])
    assert "trial " in output, "there is a table"
    assert len(re.findall(LINE, output, re.MULTILINE)) == 4
    changed = {path.parts[-4] for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {"0"}, "the others were not trained again"


@pytest.mark.slow
def test_a_promoted_trial_gives_the_same_accuracy_in_the_pipeline(swept: Project, tmp_path: Path) -> None:
    project = swept.copy(tmp_path / "clone")
    for name in ("mlflow.db", "mlartifacts"):
        assert not (project.root / name).exists()
    _, trials = parent_and_trials(swept)
    winner = trials["mlp lr=0.1"]
    store = f"sqlite:///{swept.root / 'mlflow.db'}"
    before = {model: (project.root / f"models/{model}/model.pickle").read_bytes() for model in ("sgd", "mlp")}

    result = project.succeed(
        "python", "-m", "digits", "promote", winner.info.run_id, PYTHONPATH="src", MLFLOW_TRACKING_URI=store
    )

    command = result.output.splitlines()[-1]
    assert command == "dvc exp run -S experiment=mlp_lr-0.1"
    text = (project.root / "conf/experiment/mlp_lr-0.1.yaml").read_text()
    assert "models:\n  mlp:\n    learning_rate: 0.1\n" in text
    assert winner.info.run_id in text
    assert "python -m digits.sweep -m model=sgd,mlp" in text

    run = project.succeed(*command.split())

    assert "train@sgd" not in run.stages_run
    assert "train@mlp" in run.stages_run
    selected = max(float(row["val.accuracy"]) for row in project.history("mlp"))
    assert selected == winner.data.metrics["selected.val.accuracy"]
    assert project.metrics()["mlp"]["accuracy"] == winner.data.metrics["selected.test.accuracy"]
    assert (project.root / "models/sgd/model.pickle").read_bytes() == before["sgd"]
    assert (project.root / "models/mlp/model.pickle").read_bytes() != before["mlp"]


@pytest.mark.slow
def test_the_best_configuration_of_a_sweep_is_promoted(swept: Project, tmp_path: Path) -> None:
    parent, _ = parent_and_trials(swept)
    folder = sweep_folder(swept)
    written: list[str] = []
    for source in (parent.info.run_id, str(folder)):
        project = swept.copy(tmp_path / str(len(written)))
        arguments = ["python", "-m", "digits", "promote", source, "--name", "winner"]
        store = f"sqlite:///{swept.root / 'mlflow.db'}"
        project.succeed(*arguments, PYTHONPATH="src", MLFLOW_TRACKING_URI=store)
        written.append((project.root / "conf/experiment/winner.yaml").read_text())
    assert written[0] == written[1]
    assert f"Validation accuracy {parent.data.metrics['best.val.accuracy']:.4f}" in written[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["promote", "0123"], "'0123' is no run of"),
        (["promote", "conf"], "conf is not the folder of a sweep"),
        (["resume", "conf"], "conf is not the folder of a sweep"),
    ],
)
def test_a_wrong_source_is_refused_in_one_line(swept: Project, arguments: list[str], message: str) -> None:
    result = swept.run("python", "-m", "digits", *arguments, PYTHONPATH="src")
    assert result.code == 1
    (line,) = result.output.splitlines()
    assert line.startswith(f"error: {message}")


@pytest.mark.slow
def test_trials_that_fail_do_not_disturb_the_others(project: Project) -> None:
    result = sweep(project, "model=mlp", "model.alpha=-1,0.01", "model.learning_rate=0.01,1e308")

    assert result.code == 1
    assert "Traceback" not in result.output
    parent, trials = parent_and_trials(project)
    assert parent.info.status == "FAILED"
    assert {name: run.info.status for name, run in trials.items()} == {
        "mlp alpha=-1 lr=0.01": "FAILED",
        "mlp alpha=-1 lr=1e+308": "FAILED",
        "mlp alpha=0.01 lr=0.01": "FINISHED",
        "mlp alpha=0.01 lr=1e+308": "FAILED",
    }
    assert "models.mlp.alpha = -1 is impossible" in trials["mlp alpha=-1 lr=0.01"].data.tags["error"]
    assert "training diverged" in trials["mlp alpha=0.01 lr=1e+308"].data.tags["error"]
    *table, last = result.output.splitlines()
    assert last.startswith("error: 3 of 4 trials did not finish: `digits resume sweeps/")
    assert sum("FAILED: " in line for line in table[-4:]) == 3


def test_a_killed_trial_is_killed_in_mlflow_and_resume_finishes_it_from_its_checkpoint(project: Project) -> None:
    process = project.start(*SWEEP, "model=mlp", "seed=1,2", f"train.epochs={EPOCHS}", PYTHONPATH="src")
    folder = wait_for_epochs(project, process)
    (victim,) = [one for one in processes_in(project) if one.cmdline()[-2] == str(folder / "0")]
    victim.kill()
    output, _ = process.communicate()

    assert process.returncode == 1
    parent, trials = parent_and_trials(project)
    assert {name: run.info.status for name, run in trials.items()} == {
        "mlp seed=1": "KILLED",
        "mlp seed=2": "FINISHED",
    }
    assert trials["mlp seed=1"].data.tags["error"] == "killed by SIGKILL"
    assert "#0 mlp seed=1: KILLED: killed by SIGKILL" in output
    assert parent.info.status == "FAILED"

    other = (folder / "1/models/mlp/model.pickle").stat().st_mtime_ns
    project.succeed("python", "-m", "digits", "resume", str(folder), PYTHONPATH="src")

    again, finished = parent_and_trials(project)
    assert again.info.run_id == parent.info.run_id
    assert again.info.status == "FINISHED"
    assert {run.info.status for run in finished.values()} == {"FINISHED"}
    assert "error" not in finished["mlp seed=1"].data.tags
    assert {run.info.run_id for run in finished.values()} == {run.info.run_id for run in trials.values()}
    assert "resuming at epoch" in (folder / "0/trial.log").read_text()
    assert (folder / "1/models/mlp/model.pickle").stat().st_mtime_ns == other, "it was not run again"
    assert exact_epochs(project, EPOCHS) == 2


def wait_for_epochs(project: Project, process: subprocess.Popen[str], trials: int = 2) -> Path:
    """Wait until this many trials have trained for some epochs; return the sweep's folder."""
    while True:
        logs = list((project.root / "sweeps").glob("*/*/trial.log"))
        if len([log for log in logs if "  epoch 3  " in log.read_text()]) == trials:
            return Path(logs[0].parents[1])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            pytest.fail(f"the sweep ended: {process.communicate()}")


def exact_epochs(project: Project, epochs: int) -> int:
    """Return the number of trials; assert that each has every metric once per epoch."""
    _, trials = parent_and_trials(project)
    for run in trials.values():
        for metric in ("train.loss", "val.accuracy", "test.accuracy", "test.loss"):
            assert steps(project, run, metric) == list(range(epochs)), (run.info.run_name, metric)
    return len(trials)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "basic"])
def test_ctrl_c_ends_the_trials_and_closes_the_sweep(project: Project, launcher: str) -> None:
    arguments = ["model=mlp", "seed=1,2", f"train.epochs={MANY}", f"hydra/launcher={launcher}"]
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
    assert f"stopped; `digits resume sweeps/{sweep_folder(project).name}` runs what is missing" in output
    assert list(sweep_folder(project).glob("*/checkpoints/*/*/after-*")), "they can go on"


@pytest.mark.slow
def test_interpolated_values_are_the_same_when_a_sweep_is_resumed(project: Project) -> None:
    words = ["model=mlp", "train.epochs=1,2", "seed=${train.epochs}", "model.alpha=${model.learning_rate}"]
    assert sweep(project, *words, "hydra.sweep.dir=sweeps/${model.type}").code == 0
    folder = sweep_folder(project)
    assert folder.name == "mlp"
    results = {path: path.read_bytes() for path in folder.glob("*/result.json")}
    values = [yaml.safe_load((folder / number / "params.yaml").read_text(encoding="utf-8")) for number in "01"]
    assert [(one["seed"], one["models"]["mlp"]["alpha"]) for one in values] == [(1, 0.01), (2, 0.01)]
    models = {path: path.stat().st_mtime_ns for path in folder.glob("*/models/*/*")}

    resume = ("python", "-m", "digits", "resume", str(folder))
    project.succeed(*resume, PYTHONPATH="src")

    assert json.loads((folder / "sweep.json").read_text(encoding="utf-8"))["overrides"] == words
    assert {path: path.read_bytes() for path in folder.glob("*/result.json")} == results
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/models/*/*")} == models

    project.edit("conf/train/default.yaml", "batch_size: ", "batch_size: 1")
    for command in (resume, (*SWEEP, *words, "hydra.sweep.dir=sweeps/mlp")):
        refused = project.run(*command, PYTHONPATH="src")
        assert refused.code == 1
        (line,) = refused.output.splitlines()
        assert f"error: {folder}/0 has the result of other values (train.batch_size " in line
    assert {path: path.read_bytes() for path in folder.glob("*/result.json")} == results
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/models/*/*")} == models


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=${hydra.job.num}"], "seed: Interpolation key 'hydra.job.num' not found"),
        (["seed=${hydra:job.num}"], "${hydra:job.num} gives another value on each run or machine"),
        (["train.epochs=1,2", "seed=${train.rounds}"], "seed: Interpolation key 'train.rounds' not found"),
        (
            ["hydra.sweep.subdir=${model.type}"],
            "hydra.sweep.subdir = ${model.type}: a trial's folder is named",
        ),
        (["hydra.sweep.subdir=${hydra.job.override_dirname}"], "a trial's folder is named by its number: leave it out"),
        (["hydra.sweep.dir=sweeps/${hydra.job.num}"], "hydra.job.num"),
        (["hydra.sweep.dir=params.yaml/x"], "params.yaml/x: Not a directory"),
        (
            ["hydra.job.chdir=true"],
            "hydra.job.chdir = true has no effect, since a trial works in its own folder: leave it out",
        ),
    ],
)
def test_a_sweep_with_an_impossible_value_is_refused_before_the_first_trial(
    project: Project, words: list[str], message: str
) -> None:
    result = sweep(project, "model=sgd,mlp", *words)
    assert result.code == 1
    (line,) = result.output.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not list(project.root.glob("sweeps/*/0")), "no trial has begun"


@pytest.mark.slow
def test_trials_end_when_the_sweep_is_killed(project: Project) -> None:
    process = project.start(*SWEEP, "model=mlp", "seed=1,2", f"train.epochs={MANY}", PYTHONPATH="src")
    wait_for_epochs(project, process)
    trials = processes_in(project)
    assert len(trials) == 2
    process.kill()
    _, alive = psutil.wait_procs(trials, timeout=60)
    assert not alive
    process.communicate()


@pytest.mark.slow
def test_eight_parallel_trials_lose_no_metric(project: Project) -> None:
    result = sweep(project, "model=mlp", "seed=range(0,8)", "train.epochs=5", "hydra.launcher.n_jobs=8")
    assert result.code == 0, result.output
    assert exact_epochs(project, 5) == 8


@pytest.mark.slow
def test_the_folder_of_another_machines_sweep_is_refused_in_their_common_store(project: Project) -> None:
    few = ("model=sgd", "train.epochs=1", "hydra.sweep.dir=sweeps/mine")
    assert sweep(project, *few).code == 0
    (parent,) = [run for run in runs(project) if mlflow_store.PARENT not in run.data.tags]
    for name, value in (("process.place", "another"), ("process.host", "laptop")):
        client(project).set_tag(parent.info.run_id, name, value)
    shutil.rmtree(project.root / "sweeps/mine")
    result = sweep(project, *few)
    assert result.code == 1
    (line,) = result.output.splitlines()
    assert line.endswith("sweeps/mine: in this store a sweep on laptop has this folder: give another")
    assert len(runs(project)) == 2
    assert sweep(project, *few[:2], "hydra.sweep.dir=sweeps/yours").code == 0


@pytest.mark.slow
def test_without_m_one_trial_runs_and_shows_its_epochs(project: Project) -> None:
    result = project.run("python", "-m", "digits.sweep", "model=mlp", "model.alpha=0.0001", PYTHONPATH="src")
    assert result.code == 0, result.output
    assert "mlp alpha=0.0001  epoch 0  validation accuracy " in result.output
    (run,) = runs(project)
    assert (run.info.run_name, run.info.status) == ("mlp alpha=0.0001", "FINISHED")
    assert (sweep_folder(project) / "models/mlp/model.pickle").read_bytes() == (
        project.root / "models/mlp/model.pickle"
    ).read_bytes()

    failed = project.run("python", "-m", "digits.sweep", "model=mlp", "model.learning_rate=1e308", PYTHONPATH="src")
    assert failed.code == 1
    assert "error: training diverged" in failed.output
    assert "Traceback" not in failed.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.validation=12"], "data: data/prepared was made with other values"),
        (["data=digits,other"], "data=digits,other: data can't be swept"),
        (["model=mlp,nothing"], "nothing"),
        (["train.epoch=3"], "epoch"),
        (["tracking.experiment=''"], "tracking.experiment"),
        (["+hydra.callbacks.evil._target_=os.mkdir"], "error: hydra.callbacks.evil._target_ = os.mkdir: "),
        (["+train._target_=os.mkdir,os.rmdir"], "error: train._target_ = os.mkdir: "),
    ],
)
def test_a_refused_sweep_leaves_no_files(project: Project, overrides: list[str], message: str) -> None:
    result = sweep(project, *overrides)
    assert result.code == 1
    assert message in result.output
    assert "Traceback" not in result.output
    assert runs(project) == []


def test_a_sweep_without_data_is_refused(unrun: Project) -> None:
    result = sweep(unrun, "model=sgd,mlp")
    assert result.code == 1
    assert result.output.splitlines()[-1] == "error: data/prepared is missing: run `dvc repro prepare`"
