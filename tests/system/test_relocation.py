"""A repository below a path that needs quoting, moved there or copied."""

import shutil
from pathlib import Path

from mlflow import MlflowClient

from accord.files import sha256_file
from tests.projects import Project

SWEEP = ("python", "-m", "seqmnist.sweep", "-m", "cell=rnn", "seed=1,2", "train.epochs=1", "hydra.sweep.dir=sweeps/x")
SEQMNIST = ("python", "-m", "seqmnist")


def content(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): sha256_file(path) for path in root.rglob("*") if path.is_file()}


def test_a_copy_logs_to_itself_and_finds_all_that_it_had(project: Project, tmp_path: Path) -> None:
    project.succeed(*SEQMNIST, "sync", PYTHONPATH="src")
    project.succeed(*SWEEP, PYTHONPATH="src")
    before = content(project.root)
    root = tmp_path / "some where" / "mu\u0308ller (1) #2 %20 it's [x]; ?"
    copy = Project(Path(shutil.copytree(project.root, root, symlinks=True)))

    downloaded = copy.succeed("dvc", "repro", "-f", "-s", "download").output

    assert downloaded.count(f"tracking: the store moved from {project.root} to ") == 1
    client = MlflowClient(f"sqlite+pysqlite:///{root.as_uri().removeprefix('file://')}/mlflow.db")
    numbers = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(numbers)
    assert {run.info.artifact_uri.startswith(root.as_uri()) for run in runs} == {True}
    newest = next(run for run in runs if run.data.tags["stage"] == "download")
    assert len(list((root / "mlartifacts" / newest.info.run_id).rglob("params.yaml"))) == 1
    assert copy.succeed(*SEQMNIST, "check", PYTHONPATH="src").output == "nothing is damaged\n"
    assert copy.succeed(*SEQMNIST, "sync", PYTHONPATH="src").output.startswith("champion of seqmnist-tiny: version ")

    log = (copy.root / "sweeps/x/1/trial.log").read_bytes()
    resumed = copy.succeed(*SEQMNIST, "resume", "sweeps/x", PYTHONPATH="src").output
    assert "rnn seed=1" in resumed.partition("trial  ")[2]  # the table has what was trained before
    assert (copy.root / "sweeps/x/1/trial.log").read_bytes() == log  # and nothing is trained again
    promoted = copy.succeed(*SEQMNIST, "promote", "sweeps/x", "--name", "found", PYTHONPATH="src").output
    assert promoted.startswith("conf/experiment/found.yaml:\n")
    (copy.root / "sweeps/x/1/result.json").unlink()
    assert "rnn seed=2: validation accuracy" in copy.succeed(*SEQMNIST, "resume", "sweeps/x", PYTHONPATH="src").output

    shutil.rmtree(copy.root / "models")
    (copy.root / "mlflow.db").unlink()
    copy.succeed("dvc", "checkout")
    copy.succeed(*SEQMNIST, "sync", PYTHONPATH="src")  # a new store there
    assert content(project.root) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clone", "some where"]
    assert [path.name for path in root.parent.iterdir()] == [root.name]
