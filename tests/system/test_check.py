"""Damage in a project, and what `seqmnist check` and the next command make of it."""

import os
from pathlib import Path
from typing import Any

from accord.files import sha256_file

WEIGHTS = "models/rnn/seed-42.weights.h5"


def cached(project: Any, path: Path) -> Path:
    """The object of DVC's cache with a file's bytes."""
    digest = sha256_file(path)
    objects = (one for one in (project.root / ".dvc/cache/files/md5").rglob("*") if one.is_file())
    return next(Path(one) for one in objects if sha256_file(one) == digest)


def damage(path: Path) -> None:
    """Change the last byte; the mode is the one that makes DVC trust an object."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)


def check(project: Any, *options: str) -> Any:
    return project.run("python", "-m", "seqmnist", "check", *options, PYTHONPATH="src")


def test_weights_that_were_restored_from_a_damaged_object_are_refused_and_trained_anew(project: Any) -> None:
    before = project.output_hashes()
    for name in (WEIGHTS, "data/processed/test.labels.npy"):
        damage(cached(project, project.root / name))
        (project.root / name).unlink()
    assert project.run("dvc", "checkout").code == 0
    assert "up to date" in project.succeed("dvc", "status").output, "DVC notices nothing"

    refused = project.stage("evaluate")
    assert refused.code == 1
    assert refused.output.splitlines()[-1] == (
        "error: data/processed: the test split is not the one that splits.json has the SHA-256 of: "
        "run `seqmnist check --repair`, then `dvc repro`"
    )
    found = check(project)
    assert (found.code, found.output.count(" damaged"), found.output.count("is not what dvc.lock says")) == (1, 3, 2)
    assert f"models/rnn is not what dvc.lock says ({Path(WEIGHTS).name})" in found.output
    assert check(project, "--repair").code == 0
    assert check(project).output == "nothing is damaged\n"

    result = project.succeed("dvc", "repro")
    assert result.stages_run == ["preprocess", "train@rnn"]
    assert project.output_hashes() == before
    assert "up to date" in project.succeed("dvc", "status").output


def test_a_damaged_database_is_moved_away_and_filled_anew(project: Any) -> None:
    sync = ("python", "-m", "seqmnist", "sync")
    database = project.root / "mlflow.db"
    database.write_bytes(os.urandom(10_000))
    refused = project.run(*sync, PYTHONPATH="src")
    assert refused.code == 1
    (line,) = [line for line in refused.output.splitlines() if line.startswith("error: ")]
    assert f"{database} can't be used: file is not a database: move the file away" in line
    assert "Traceback" not in refused.output

    database.rename(project.root / "mlflow.db.away")
    assert project.succeed(*sync, PYTHONPATH="src").output.count("MLflow did not have it: logged now") == 5
    assert "MLflow did not" not in project.succeed(*sync, PYTHONPATH="src").output
