"""DVC's experiments in temporary trees, in real repositories with a pipeline of one stage."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from accord.errors import UserError
from accord.experiments import check_repository, fetch, resolve, run

MOST_LOOKS = 100
SRC = Path(__file__).parents[2] / "src"
CONFIG = """\
[core]
    analytics = false
[hydra]
    enabled = true
    config_dir = conf
    config_name = config
"""
STAGE = """\
import os, shutil
from accord.experiments import run_stage

def main():
    os.makedirs("reports/figures")
    shutil.copy("params.yaml", "reports/metrics.json")
    shutil.copy("params.yaml", "reports/figures/one.png")

run_stage(main)
"""
FILES = {
    ".dvc/config": CONFIG,
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    ".gitignore": "/reports\n__pycache__/\n",
    "conf/config.yaml": "seeds: [1]\n",
    "params.yaml": "seeds:\n- 1\n",
    "stage.py": STAGE,
    "dvc.yaml": f"""\
stages:
  work:
    cmd: PYTHONPATH={shlex.quote(str(SRC))} python stage.py
    deps: [stage.py]
    params: [seeds]
    outs: [reports]
""",
}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "protocol.file.allow=always", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def write(folder: Path) -> None:
    """Write the files of a project."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove git's and DVC's configuration from the environment, except a user name for commits."""
    for name in [name for name in os.environ if name.startswith(("DVC_", "GIT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "0")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Tester")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tester@localhost")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a repository with two commits."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "--quiet")
    write(folder)
    commit(folder, "Start")
    commit(folder, "Go on")
    return folder


# Repositories in which DVC keeps experiments.


def plain(project: Path) -> Path:
    return project


def worktree(project: Path) -> Path:
    git(project, "worktree", "add", "--quiet", "../tree")
    return project.parent / "tree"


def submodule(project: Path) -> Path:
    parent = project.parent / "parent"
    git(project.parent, "init", "--quiet", "parent")
    git(parent, "submodule", "--quiet", "add", f"file://{project}", "libs/ml")
    commit(parent, "Start")
    return parent / "libs/ml"


def subfolder(project: Path) -> Path:
    parent = project.parent / "mono"
    git(project.parent, "init", "--quiet", "mono")
    write(parent / "teams/ml")
    commit(parent, "Start")
    return parent / "teams/ml"


def detached_in_a_path_with_spaces(project: Path) -> Path:
    folder = project.rename(project.parent / "My Disk (1) [x] & 100%")
    git(folder, "checkout", "--quiet", "--detach")
    return folder


def with_index_of_version_4(project: Path) -> Path:
    git(project, "update-index", "--index-version", "4")
    return project


def in_an_ended_merge(project: Path) -> Path:
    merge(project)
    (project / "conf/config.yaml").write_text("seeds: [5]\n")
    git(project, "add", "--all")
    return project


def merge(project: Path) -> Path:
    for branch, text in (("one", "seeds: [3]\n"), ("two", "seeds: [4]\n")):
        git(project, "checkout", "--quiet", "-b", branch, "HEAD~0" if branch == "one" else "one~1")
        (project / "conf/config.yaml").write_text(text)
        commit(project, branch)
    with pytest.raises(subprocess.CalledProcessError):
        git(project, "merge", "one")
    return project


KEEPING = [
    plain,
    worktree,
    submodule,
    subfolder,
    detached_in_a_path_with_spaces,
    with_index_of_version_4,
    in_an_ended_merge,
]


@pytest.mark.parametrize("place", KEEPING, ids=lambda place: place.__name__)
def test_an_experiment_is_run_found_and_fetched(
    project: Path, place: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = place(project)
    monkeypatch.chdir(folder)
    before = git(folder, "status", "--porcelain")

    commit = run("trial", "seeds=[7,8]")

    fetch(commit, "reports", tmp_path / "got")
    fetch(commit, "params.yaml", tmp_path / "params.yaml")
    assert (tmp_path / "got/metrics.json").read_text() == "seeds:\n- 7\n- 8\n"
    assert (tmp_path / "got/figures/one.png").is_file()
    assert (tmp_path / "params.yaml").read_text() == "seeds:\n- 7\n- 8\n"
    assert git(folder, "status", "--porcelain") == before
    assert git(folder, "rev-list", "--parents", "-1", commit) == f"{commit} {git(folder, 'rev-parse', 'HEAD')}"
    assert "refs/probe" not in git(folder, "for-each-ref")


def test_an_experiment_replaces_only_the_one_with_the_same_name(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(project)
    git(project, "branch", "trial")
    old = run("trial", "seeds=[7]")
    commit(project, "Another start")

    first = run("trial", "seeds=[7]")
    second = run("trial", "seeds=[9]")

    assert len({old, first, second}) == 3
    with pytest.raises(UserError, match="2 experiments have the name trial"):
        resolve("trial")
    assert resolve(second) == second
    assert resolve("HEAD") == git(project, "rev-parse", "HEAD")
    fetch(second, "reports/metrics.json", tmp_path / "got")
    assert (tmp_path / "got").read_text() == "seeds:\n- 9\n"


# Repositories in which DVC loses experiments or fails.


def shallow(project: Path) -> Path:
    git(project.parent, "clone", "--quiet", "--depth", "1", f"file://{project}", "clone")
    return project.parent / "clone"


def shallow_submodule(project: Path) -> Path:
    parent = project.parent / "parent"
    git(project.parent, "init", "--quiet", "parent")
    git(parent, "submodule", "--quiet", "add", "--depth", "1", f"file://{project}", "ml")
    return parent / "ml"


def shallow_subfolder(project: Path) -> Path:
    folder = subfolder(project)
    commit(folder, "Go on")
    git(project.parent, "clone", "--quiet", "--depth", "1", f"file://{folder.parents[1]}", "clone")
    return project.parent / "clone/teams/ml"


def without_git(project: Path) -> Path:
    shutil.rmtree(project / ".git")
    return project


def without_commit(project: Path) -> Path:
    without_git(project)
    git(project, "init", "--quiet")
    return project


def on_an_unborn_branch(project: Path) -> Path:
    git(project, "checkout", "--quiet", "--orphan", "new")
    return project


def locked_index(project: Path) -> Path:
    (project / ".git/index.lock").touch()
    return project


def locked_head_of_a_worktree(project: Path) -> Path:
    folder = worktree(project)
    (project / ".git/worktrees/tree/HEAD.lock").touch()
    return folder


def broken_index(project: Path) -> Path:
    (project / ".git/index").write_bytes(b"garbage")
    return project


def with_long_hashes(project: Path) -> Path:
    without_git(project)
    git(project, "init", "--quiet", "--object-format=sha256")
    commit(project, "Start")
    return project


def split_index(project: Path) -> Path:
    git(project, "update-index", "--split-index")
    return project


def nameless(project: Path) -> Path:
    (project / "conf/config.yaml").write_text("seeds: [2]\n")
    return project


def named_by_nothing(project: Path) -> Path:
    git(project, "config", "user.name", "")
    git(project, "config", "user.email", "tester@localhost")
    return nameless(project)


def of_another_owner(project: Path) -> Path:
    os.environ["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = (
        "1"  # makes git itself refuse the repository; `environment` undoes it
    )
    return project


def moved(name: str) -> Callable[[Path], Path]:
    return lambda project: project.rename(project.parent / name)


LOSING: dict[str, tuple[Callable[[Path], Path], str]] = {
    "shallow": (shallow, "shallow clone.*run `git fetch --unshallow`"),
    "shallow submodule": (shallow_submodule, "run `git fetch --unshallow`"),
    "shallow subfolder": (shallow_subfolder, "run `git fetch --unshallow`"),
    "no git": (without_git, "not a git repository.*run `git init`"),
    "owner": (of_another_owner, "dubious ownership .*git config --global --add safe.directory /"),
    "no commit": (without_commit, "a new repository needs its first"),
    "unborn": (on_an_unborn_branch, "a new repository needs its first"),
    "index.lock": (locked_index, r"/\.git/index\.lock exists: wait"),
    "HEAD.lock": (locked_head_of_a_worktree, r"worktrees/tree/HEAD\.lock exists: wait"),
    "broken index": (broken_index, "index file .*: remove that file"),
    "SHA-256": (with_long_hashes, "can't read this kind of git repository .*: clone it anew"),
    "split index": (split_index, "can't read git's index .*: run `git update-index --no-split-index`"),
    "conflict": (merge, r"conf/config\.yaml has conflicts of a merge"),
    "no name": (nameless, r"run `git config user\.name NAME` and `git config user\.email"),
    "empty name": (named_by_nothing, r"run `git config user\.name NAME`"),
    "umlaut": (moved("müller"), "below .*müller: move the repository"),
    "Japanese": (moved("日本"), "below .*日本: move the repository"),
    "fragment": (moved("C#"), "below .*C#: move the repository"),
    "query": (moved("what?"), r"below .*what\?: move the repository"),
    "escape": (moved("per%41cent"), "below .*per%41cent: move the repository"),
    "braces": (moved("{a}"), "below .*{a}: move the repository"),
}


@pytest.mark.parametrize(("place", "said"), LOSING.values(), ids=LOSING)
def test_a_repository_that_cannot_keep_an_experiment_is_refused_before_any_work(
    project: Path, place: Callable[[Path], Path], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place(project)
    monkeypatch.chdir(folder)
    if place in {nameless, named_by_nothing}:
        for role in ("AUTHOR", "COMMITTER"):
            monkeypatch.delenv(f"GIT_{role}_NAME")
            monkeypatch.delenv(f"GIT_{role}_EMAIL")

    with pytest.raises(UserError, match=rf"\A.*{said}.*\Z"):
        run("trial", "seeds=[7]")

    assert not (folder / ".dvc/tmp").exists()


@pytest.mark.parametrize("way", ["config", "variables", "no edits"])
def test_a_user_name_for_commits_is_found_wherever_it_is_set(
    project: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way != "no edits":
        nameless(project)
    monkeypatch.delenv("GIT_AUTHOR_NAME")
    monkeypatch.delenv("GIT_AUTHOR_EMAIL")
    if way != "variables":
        monkeypatch.delenv("GIT_COMMITTER_NAME")
        monkeypatch.delenv("GIT_COMMITTER_EMAIL")
    if way == "config":
        git(project, "config", "user.name", "Tester")
        git(project, "config", "user.email", "tester@localhost")

    check_repository(project)


def unforeseen(project: Path) -> Path:
    """Break a repository so that nothing can be fetched into it, for a reason that no check knows."""
    (project / ".git/FETCH_HEAD").mkdir()
    return project


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (shallow, "error: .* is a shallow clone.*`git fetch --unshallow`"),
        (moved("per%41cent"), "error: DVC can't run experiments .*move the repository"),
        (unforeseen, "error: DVC can't keep this experiment in .*/project: .*FETCH_HEAD"),
    ],
    ids=["shallow", "escape", "unforeseen"],
)
def test_a_stage_does_no_work_in_a_tree_whose_result_would_be_lost(
    project: Path, place: Callable[[Path], Path], said: str
) -> None:
    folder = place(project)

    result = dvc(folder, "exp", "run", "--temp", "--name", "trial", "-S", "seeds=[7]")

    assert result.returncode != 0, result.stdout
    assert len([line for line in result.stdout.splitlines() if re.search(said, line)]) == 1
    assert not list((folder / ".dvc/cache").rglob("*.dir"))


@pytest.mark.slow
def test_a_queued_experiment_that_would_be_lost_fails_and_its_log_says_why(project: Path) -> None:
    folder = shallow(project)
    dvc(folder, "exp", "run", "--queue", "--name", "trial", "-S", "seeds=[7]")
    dvc(folder, "queue", "start")
    try:
        for _ in range(MOST_LOOKS):  # the queue's worker runs in the background; each poll takes DVC a second
            status = dvc(folder, "queue", "status").stdout
            if re.search("Success|Failed", status):
                break
        assert "Failed" in status
        assert "shallow clone" in dvc(folder, "queue", "logs", "trial").stdout
    finally:
        dvc(folder, "queue", "stop", "--kill")


@pytest.mark.parametrize(
    ("place", "option", "said"),
    [
        (shallow, "--temp", "git fetch --unshallow"),
        (shallow, "--que", "git fetch --unshallow"),
        (moved("müller"), "--queue", "move the repository"),
        (moved("C#"), "--temp", "move the repository"),
    ],
    ids=["shallow", "shallow queue", "umlaut", "fragment"],
)
def test_dvc_itself_refuses_before_it_queues_or_runs(
    project: Path, place: Callable[[Path], Path], option: str, said: str
) -> None:
    plugins = project / "src/dvc_plugins/hydra_plugins"
    plugins.mkdir(parents=True)
    shutil.copy(SRC / "dvc_plugins/hydra_plugins/check_experiment.py", plugins)
    for package in ("accord", "seqmnist"):
        (project / "src" / package).symlink_to(SRC / package)
    shutil.copy(SRC.parent / "pyproject.toml", project)
    with (project / ".dvc/config").open("a") as file:
        file.write("    plugins_path = src/dvc_plugins\n")
    commit(project, "Use the plugin")
    folder = place(project)
    (folder / "stage.py").write_text(f"{STAGE}# an edit\n")

    result = dvc(folder, "exp", "run", option, "-S", "seeds=[7]")

    assert result.returncode != 0
    (line,) = [line for line in result.stdout.splitlines() if "ERROR" in line]
    assert said in line
    assert git(folder, "status", "--porcelain") == "M stage.py"
    assert "refs/exps" not in git(folder, "for-each-ref")
    result = dvc(folder, "exp", "run", "-S", "seeds=[7]")
    assert said not in result.stdout, "in the workspace DVC fetches nothing"
    assert "data: the key is missing" in result.stdout, "the configuration is checked next"


def test_an_experiment_that_dvc_loses_despite_the_checks_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "stage.py").write_text(STAGE.replace("run_stage(main)", "main()"))
    commit(project, "Check nothing")
    unforeseen(project)
    monkeypatch.chdir(project)

    with pytest.raises(UserError, match="DVC ran the experiment trial and did not save it"):
        run("trial", "seeds=[7]")


def test_a_failed_stage_and_a_missing_file_are_reported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(UserError, match=r"reports of commit [0-9a-f]{7} can't be read"):
        fetch(resolve("HEAD"), "reports", project / "got")
    with pytest.raises(UserError, match=r"can't use .*/project: Needed a single revision: there is no such commit"):
        resolve("nothing")
    (project / "stage.py").write_text("raise SystemExit(3)")
    with pytest.raises(UserError, match="the experiment trial failed"):
        run("trial", "seeds=[7]")
