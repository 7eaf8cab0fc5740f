"""Damaged files in a project, and their repair by `digits check` and the next command."""

import os

import pytest

from tests.damage import cache_entry, damage_file
from tests.projects import Project, Result

pytestmark = pytest.mark.slow

MODEL = "models/sgd/model.pickle"
IMAGES = "data/prepared/test.npy"
SYNC = ("python", "-m", "digits", "sync")


def check(project: Project, *options: str) -> Result:
    return project.run("python", "-m", "digits", "check", *options, PYTHONPATH="src")


def test_outputs_that_were_restored_from_damaged_objects_are_found_and_made_again(project: Project) -> None:
    before = project.output_hashes()
    for name in (MODEL, IMAGES):
        damage_file(cache_entry(project, name), "flip the end")
        (project.root / name).unlink()
    assert project.run("dvc", "checkout").code == 0
    assert "up to date" in project.succeed("dvc", "status").output, "DVC notices nothing"

    found = check(project)
    assert (found.code, found.output.count(" damaged"), found.output.count("is not what dvc.lock says")) == (1, 3, 2)
    assert "models/sgd is not what dvc.lock says (model.pickle)" in found.output
    assert "data/prepared is not what dvc.lock says (test.npy)" in found.output
    assert check(project, "--repair").code == 0
    assert check(project).output == "nothing is damaged\n"

    result = project.succeed("dvc", "repro")
    assert result.stages_run == ["prepare", "train@sgd"]
    assert project.output_hashes() == before
    assert "up to date" in project.succeed("dvc", "status").output


def test_a_damaged_database_is_moved_away_and_a_new_one_filled(project: Project) -> None:
    database = project.root / "mlflow.db"
    database.write_bytes(os.urandom(10_000))
    refused = project.run(*SYNC, PYTHONPATH="src")
    assert refused.code == 1
    (line,) = [line for line in refused.output.splitlines() if line.startswith("error: ")]
    assert f"{database} can't be used: file is not a database: move the file away" in line
    assert "then `digits sync` fills a new one" in line
    assert "Traceback" not in refused.output

    database.rename(project.root / "mlflow.db.away")
    assert project.succeed(*SYNC, PYTHONPATH="src").output.count("MLflow did not have it: logged now") == 4
    assert "MLflow did not" not in project.succeed(*SYNC, PYTHONPATH="src").output
