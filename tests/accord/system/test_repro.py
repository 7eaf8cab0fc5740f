"""The pipeline of examples/digits, run as a user does, in a subfolder of its repository."""

import shutil
from pathlib import Path

import pytest

from accord.files import sha256_file
from tests.accord.system.conftest import BELOW
from tests.projects import EXAMPLE, Project, clone

STAGES = ["compose", "prepare", "train@sgd", "train@mlp", "evaluate"]


def test_repro_again_skips_every_stage(project: Project) -> None:
    assert project.succeed("dvc", "repro").stages_skipped == STAGES


@pytest.mark.slow
def test_an_edit_of_one_model_does_not_rerun_the_other(project: Project) -> None:
    project.edit("conf/model/mlp.yaml", "alpha: 0.0001", "alpha: 0.001")
    result = project.succeed("dvc", "repro")
    assert result.stages_run == ["compose", "train@mlp", "evaluate"]
    assert result.stages_skipped == ["prepare", "train@sgd"]
    assert "params.yaml: models.mlp.alpha 0.0001 -> 0.001" in result.output


def test_deleted_outputs_come_back_from_the_run_cache(project: Project) -> None:
    before = project.output_hashes()
    (project.root / "dvc.lock").unlink()
    for folder in ("data", "models", "reports"):
        shutil.rmtree(project.root / folder)
    result = project.succeed("dvc", "repro")
    assert result.stages_run == ["compose"]
    assert result.stages_restored == STAGES[1:]
    assert project.output_hashes() == before
    assert set(project.metrics()) == {"sgd", "mlp"}


@pytest.mark.slow
def test_experiment_trains_with_its_own_values(project: Project) -> None:
    project.succeed("dvc", "exp", "run", "-S", "train.epochs=1")
    assert [len(project.history(model)) for model in ("sgd", "mlp")] == [1, 1]
    assert project.succeed("dvc", "repro").stages_skipped == STAGES, "a plain repro keeps the experiment's results"
    project.edit("conf/train/default.yaml", "batch_size: 64", "batch_size: 32")
    assert "train.epochs 1 -> 3" in project.succeed("dvc", "repro", "compose").output, "an edit of conf/ drops them"


@pytest.mark.slow
def test_temporary_experiment_runs_the_code_of_its_own_tree(project: Project) -> None:
    project.edit("src/digits/prepare.py", 'print(f"{name}: ', 'print(f"edited {name}: ')
    result = project.succeed("dvc", "exp", "run", "--temp", "-S", "data.validation=290")
    assert "edited val: 290 images" in result.output
    assert {path.name for path in project.repository.iterdir()} == {".git", "team"}
    assert (project.root / "mlflow.db").exists(), "runs of a temporary experiment belong to the project's store"
    artifacts = list((project.root / "mlartifacts").rglob("params.yaml"))
    assert artifacts
    assert {"validation: 290" in path.read_text() for path in artifacts} == {True}


def test_a_clone_without_data_shows_what_would_run(reproduced: Project, tmp_path: Path) -> None:
    reproduced.succeed("git", "clone", "--quiet", str(reproduced.repository), str(tmp_path / "clone"))
    project = Project(tmp_path / "clone", BELOW)
    dry = project.succeed("dvc", "repro", "--dry", "--allow-missing")
    assert (dry.stages_run, dry.stages_skipped) == ([], STAGES)
    project.edit("dvc.yaml", "digits.train ${item.model}", "digits.train  ${item.model}")
    dry = project.run("dvc", "repro", "--dry", "--allow-missing")
    assert dry.stages_skipped == STAGES[:2]
    assert "failed to reproduce 'train@sgd'" in dry.output, "DVC shows now what comes after: docs/scale-remotes.md"


def test_temporary_files_of_editors_and_systems_make_no_stage_stale(project: Project) -> None:
    folders = ("conf", "conf/train", "data/prepared", "models", "models/mlp", "reports/train", "reports/train/sgd")
    names = (".DS_Store", "._default.yaml", ".learner.py.swo", "default.yaml~", "learner.py.bak", "learner.py.swp")
    for folder in (project.root / name for name in (*folders, "src/digits")):
        for name in (*names, ".idea/workspace.xml", "__pycache__/x.pyc"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"\0\x05\x16\x07")
        (folder / ".#learner.py").symlink_to("user@host.1234:5678")  # Emacs's lock, a link to nothing
    assert "up to date" in project.succeed("dvc", "status").output
    checked = project.succeed("python", "-m", "digits", "check", PYTHONPATH="src").output
    assert checked.endswith("nothing is damaged\n")
    assert project.succeed("dvc", "repro").stages_skipped == STAGES


def test_large_outputs_stay_out_of_git(reproduced: Project) -> None:
    tracked = reproduced.succeed("git", "ls-files").output.split()
    assert "dvc.lock" in tracked
    assert "params.yaml" in tracked
    outputs = ("data/", "models/", "reports/", "mlflow", "mlartifacts", "checkpoints/")
    assert [name for name in tracked if name.startswith(outputs)] == []


def test_a_clone_that_git_would_give_windows_line_ends_has_the_same_bytes(project: Project, tmp_path: Path) -> None:
    settings = ["-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    project.succeed("git", *settings, "clone", "--quiet", str(project.repository), str(tmp_path / "windows"))
    other = Project(tmp_path / "windows", BELOW)
    for name in project.succeed("git", "ls-files", "-z").output.split("\0")[:-1]:
        assert (other.root / name).read_bytes() == (project.root / name).read_bytes(), name
    other.succeed("dvc", "cache", "dir", "--local", str(project.root / ".dvc/cache"))
    other.succeed("dvc", "checkout")
    assert "up to date" in other.succeed("dvc", "status").output


@pytest.mark.slow
def test_a_copy_of_the_folder_is_a_project_as_the_root_of_its_repository(reproduced: Project, tmp_path: Path) -> None:
    copied = clone(tmp_path / "mine", EXAMPLE)
    copied.edit("conf/train/default.yaml", "epochs: 20", "epochs: 3")
    assert copied.succeed("dvc", "repro").stages_run[0] == "compose"
    assert copied.succeed("dvc", "repro").stages_skipped == STAGES
    assert copied.output_hashes() == reproduced.output_hashes(), "the same bytes in another place"
    model = "models/mlp/model.pickle"
    assert sha256_file(copied.root / model) == sha256_file(reproduced.root / model)
    copied.succeed("git", "add", "--all")
    copied.succeed("git", "commit", "--quiet", "--message", "Add results")
    result = copied.succeed("dvc", "exp", "run", "--temp", "-S", "models.sgd.alpha=0.002")
    assert result.stages_run == ["compose", "train@sgd", "evaluate"]
