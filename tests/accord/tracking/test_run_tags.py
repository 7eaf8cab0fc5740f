import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from accord import git as asked
from accord.settings import Tracking
from accord.tracking import run_tags
from accord.tracking.run_tags import CODE, identity_tags
from accord.tracking.runs import RunRequest, stage_run

Patch = pytest.MonkeyPatch


def run_git(*arguments: str) -> None:
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@localhost"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: Patch) -> Path:
    """Make a repository with a commit and an uncommitted edit, and make it the working directory."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)  # set inside a hook
    for name in ("GIT_PYTHON_REFRESH", "GIT_PYTHON_GIT_EXECUTABLE"):
        monkeypatch.setenv(name, "")  # so that monkeypatch restores it after the test
        monkeypatch.delenv(name)
    run_tags._tell.cache_clear()
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("params.yaml", "code.py"):
        Path(name).write_text("a: 1\n", encoding="utf-8")
    run_git("init", "--quiet")
    run_git("add", ".")
    run_git("commit", "--quiet", "-m", "first")
    Path("code.py").write_text("a: 2\n", encoding="utf-8")
    return folder


def code() -> dict[str, str]:
    return {key: value for key, value in identity_tags().items() if key in CODE}


def assume_another_owner(_root: Path, patch: Patch) -> None:
    patch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")


def remove_git(root: Path, patch: Patch) -> None:
    patch.setenv("PATH", str(root))


def forbid_git(root: Path, patch: Patch) -> None:
    (root / "git").write_text("no program")
    patch.setenv("PATH", str(root))


def hang_git(root: Path, patch: Patch) -> None:
    (root / "git").write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    (root / "git").chmod(0o755)
    patch.setenv("PATH", f"{root}{os.pathsep}{os.environ['PATH']}")
    patch.setattr(asked, "_TIMEOUT_SECONDS", 0.2)


def remove_commits(root: Path, _patch: Patch) -> None:
    run_git("checkout", "--quiet", "--orphan", "other")
    assert root.is_dir()


def write(name: str, content: str) -> Callable[[Path, Patch], None]:
    def write_into(root: Path, _patch: Patch) -> None:
        (root / name).write_text(content)

    return write_into


def lead_nowhere(root: Path, _patch: Patch) -> None:
    (root / ".git").rename(root.parent / "moved")
    (root / ".git").write_text("gitdir: /nowhere\n")


def name_nowhere(_root: Path, patch: Patch) -> None:
    patch.setenv("GIT_DIR", "/nowhere")


def lose_objects(root: Path, _patch: Patch) -> None:
    (root / ".git/objects").rename(root.parent / "objects")
    (root / ".git/objects").mkdir()


FAULTS = {
    "another owner, assumed": (assume_another_owner, "detected dubious ownership .* safe.directory /"),
    "no git": (remove_git, "git can't be run: No such file or directory"),
    "git is no program": (forbid_git, "git can't be run: "),
    "git hangs": (hang_git, "git log did not end within "),
    "no commit": (remove_commits, "your current branch 'other' does not have any commits yet"),
    "broken HEAD": (write(".git/HEAD", "garbage"), "not a git repository"),
    "broken branch": (write(".git/HEAD", "ref: refs/heads/a..b"), "."),
    "broken settings": (write(".git/config", "[core"), "bad config line "),
    ".git leads nowhere": (lead_nowhere, "not a git repository: /nowhere"),
    "GIT_DIR leads nowhere": (name_nowhere, "not a git repository: '/nowhere'"),
    "no objects": (lose_objects, "."),
}


@pytest.mark.parametrize(("break_it", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_failure_of_git_is_reported_once_and_tagged(
    repository: Path,
    monkeypatch: Patch,
    capsys: pytest.CaptureFixture[str],
    break_it: Callable[[Path, Patch], None],
    reason: str,
) -> None:
    assert code()["git.dirty"] == "true"
    break_it(repository, monkeypatch)

    tags = code()
    assert code() == tags

    assert list(tags) == ["git.error"]
    told = capsys.readouterr().out
    assert told == f"git: runs get no tag of the code: {tags['git.error']}\n"
    assert re.match(reason, tags["git.error"])


def test_with_a_broken_index_the_commit_is_tagged_without_git_dirty(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = code()["git.commit"]
    (repository / ".git/index").write_text("x")

    tags = code()

    assert tags == {"git.commit": commit, "git.error": tags["git.error"]}
    assert "index" in tags["git.error"]
    assert tags["git.error"] in capsys.readouterr().out


def test_files_without_a_repository_are_not_reported(
    tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert code()["git.error"].startswith("not a git repository")
    assert capsys.readouterr().out == ""


def test_file_names_may_have_any_bytes(repository: Path) -> None:
    name = os.fsdecode(b"\xff")
    (repository / name).touch()
    run_git("config", "core.quotepath", "false")
    run_git("add", ".")
    assert code()["git.dirty"] == "true"


def test_a_resumed_run_gets_the_present_tags_of_git(
    tracking: Tracking, project: Path, repository: Path, monkeypatch: Patch
) -> None:
    assert project != repository
    states = []
    with stage_run(tracking, RunRequest("train", "train")) as run:
        pass
    for owner in ("1", "0"):
        states.append(set(MlflowClient().get_run(run.id).data.tags) & set(CODE))
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", owner)
        with stage_run(tracking, RunRequest("train", "train", resume=run.id)):
            pass
    states.append(set(MlflowClient().get_run(run.id).data.tags) & set(CODE))

    said = {"git.commit", "git.dirty"}
    assert states == [said, {"git.error"}, said]


@pytest.mark.slow
def test_a_git_that_hangs_stops_no_run(tracking: Tracking, project: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    """Run it in a new process, because MLflow asks git only once per process."""
    hang_git(tmp_path, monkeypatch)
    (project / ".git").mkdir(exist_ok=True)
    program = "import sys\nfrom accord import git\ngit._TIMEOUT_SECONDS = 0.2\n"
    program += "from accord.settings import Tracking\nfrom accord.tracking.runs import RunRequest, stage_run\n"
    program += "with stage_run(Tracking.model_validate_json(sys.stdin.read()), RunRequest('train', 'train')): pass"
    command = [sys.executable, "-c", program]
    try:
        ended = subprocess.run(
            command, input=tracking.model_dump_json(), capture_output=True, text=True, check=True, timeout=100
        )
    finally:
        (project / ".git").rmdir()
    assert ended.stdout.count("git log did not end within") == 1
    assert ended.stdout.count("\n") == 1
    assert ended.stderr == ""


def test_a_trial_keeps_its_sweeps_git_tags(tracking: Tracking, project: Path) -> None:
    with stage_run(tracking, RunRequest("train", "train", {"git.commit": "abc", "git.dirty": "false"})) as run:
        pass
    tags = MlflowClient().get_run(run.id).data.tags
    assert (tags["git.commit"], tags["git.dirty"]) == ("abc", "false")
    assert "git.error" not in tags
    assert project.is_dir()
