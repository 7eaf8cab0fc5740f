"""The command `check` in a real repository with a pipeline of two stages, whose files are damaged."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from accord.errors import UserError
from accord.integrity.check import check

PIPELINE = """\
stages:
  compose:
    cmd: cp conf.yaml params.yaml
    deps: [conf.yaml]
    outs: [params.yaml: {cache: false, persist: true}]
  make:
    cmd: mkdir -p out && echo one > out/a && echo two > out/b
    params: [x]
    outs: [out]
  use:
    cmd: cat out/a out/b > sum
    deps: [out]
    outs: [sum]
"""
ONE = ".dvc/cache/files/md5/5b/bf5a52328e7439ae6e719dfe712200"  # cache object of out/a
FOLDER = ".dvc/cache/files/md5/a9/008cbd0e570248bc882f716cdf4b0b.dir"  # `.dir` listing of out
HOW = "run `seqmnist check --repair`, then `dvc repro`"


def run(*command: str) -> str:
    """Run a command, check that it succeeds, and return its output."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "GIT_"))}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a repository, after its first `dvc repro`, for the tests to copy."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run("git", "init", "--quiet")
        run("dvc", "init", "--quiet")
        (root / ".dvc/config").write_text("[core]\nanalytics = false\ncheck_update = false\n")
        (root / "dvc.yaml").write_text(PIPELINE)
        (root / "conf.yaml").write_text("x: 1\n")
        run("dvc", "repro", "--quiet")
        run("git", "add", "--all")
        run("git", "-c", "user.name=T", "-c", "user.email=t@localhost", "commit", "--quiet", "--message", "Start")
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the repository for one test, with its files in DVC's database, and make it the working directory."""
    folder = shutil.copytree(made, tmp_path / "repository")
    monkeypatch.chdir(folder)
    check(quick=True)
    with Repo() as repo:
        assert not repo.status()
    return folder


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Return a function that returns the lines printed since its last call."""

    def read() -> list[str]:
        return capsys.readouterr().out.splitlines()

    return read


def damage(path: Path) -> None:
    """Change one byte of a file but not its mode, size and time, as a failing disk does."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def restore_from_cache(root: Path) -> None:
    shutil.rmtree(root / "out")
    run("dvc", "checkout", "--quiet")


def files(root: Path) -> dict[str, bytes]:
    """Return the content of all files except those in .git and .dvc/tmp."""
    paths = (path for path in root.rglob("*") if path.is_file() and not path.is_relative_to(root / ".git"))
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in paths
        if not path.is_relative_to(root / ".dvc/tmp")
    }


def entry(root: Path) -> Path:
    """Return the path of an entry of the run cache."""
    return entry_of(root / ".dvc/cache/runs")


def entry_of(runs: Path) -> Path:
    return next(path for path in runs.rglob("*") if path.is_file())


def test_intact_files_are_left_as_they_are(root: Path, lines: Callable[[], list[str]]) -> None:
    before = files(root)
    check()
    check(repair=True)
    assert lines() == ["nothing is damaged"] * 2
    check(quick=True, repair=True)
    assert lines() == []
    assert files(root) == before


def test_missing_outputs_are_not_damage(root: Path, lines: Callable[[], list[str]]) -> None:
    (root / "out/a").unlink()
    (root / "sum").unlink()
    check(repair=True)
    shutil.rmtree(root / "out")
    check(repair=True)
    assert lines() == ["nothing is damaged"] * 2
    assert not (root / "sum").exists()


def test_intact_outputs_are_put_back_into_a_lost_cache(made: Path, root: Path, lines: Callable[[], list[str]]) -> None:
    shutil.rmtree(root / ".dvc/cache/files")
    check()
    check(repair=True)
    assert lines() == ["nothing is damaged"] * 2
    assert files(root) == files(made)


def test_an_output_of_another_version_without_a_cache_stays(root: Path, lines: Callable[[], list[str]]) -> None:
    shutil.rmtree(root / ".dvc/cache/files")
    (root / "out/b").write_text("three\n")
    check(repair=True)
    assert lines() == ["nothing is damaged"]
    assert (root / "out/b").read_text() == "three\n"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (ONE, f"{ONE} is damaged (of out): {HOW}"),
        (FOLDER, f"{FOLDER} is damaged (of out): {HOW}"),
        ("run cache", f"{{entry}} is damaged: {HOW}"),
        ("out/b", f"out is not what dvc.lock says (b): {HOW}"),
        ("sum", f"sum is not what dvc.lock says: {HOW}"),
    ],
    ids=["object", "folder's list", "run cache", "file of a folder", "file"],
)
def test_one_changed_byte_is_reported_and_nothing_is_changed(
    root: Path, lines: Callable[[], list[str]], name: str, line: str
) -> None:
    path = entry(root) if name == "run cache" else root / name
    damage(path)
    before = files(root)
    with pytest.raises(UserError, match="1 thing is damaged"):
        check()
    assert lines() == [line.format(entry=entry(root).relative_to(root))]
    assert files(root) == before


@pytest.mark.parametrize("name", [ONE, FOLDER], ids=["object", "folder's list"])
def test_a_damaged_object_is_replaced_from_an_intact_output(
    made: Path, root: Path, lines: Callable[[], list[str]], name: str
) -> None:
    damage(root / name)
    check(repair=True)
    assert lines() == [f"{name} is damaged (of out): replaced from out", "`dvc repro` makes again what is missing"]
    assert files(root) == files(made)
    assert "up to date" in run("dvc", "status")
    check()


def test_an_output_that_was_restored_from_a_damaged_object_is_made_again(
    made: Path, root: Path, lines: Callable[[], list[str]]
) -> None:
    damage(root / ONE)
    restore_from_cache(root)
    assert (root / "out/a").read_text() == "nne\n"
    assert "up to date" in run("dvc", "status"), "DVC takes it for whole"

    check(repair=True)

    assert lines()[:2] == [
        f"{ONE} is damaged (of out): removed",
        "out is not what dvc.lock says (a): removed",
    ]
    assert {name for name in files(made) if name not in files(root)} == {ONE, "out/a"}
    check()
    assert lines() == ["nothing is damaged"], "DVC sees what is missing"
    assert "Running stage 'make'" in run("dvc", "repro")
    assert files(root) == files(made)


@pytest.mark.parametrize("name", ["out/a", "sum"])
def test_a_damaged_output_is_restored_from_the_cache(
    made: Path, root: Path, lines: Callable[[], list[str]], name: str
) -> None:
    damage(root / name)
    assert "up to date" in run("dvc", "status"), "DVC takes it for whole"
    check(repair=True)
    assert lines()[0].endswith(": restored from the cache")
    assert files(root) == files(made)
    assert "up to date" in run("dvc", "status")


def test_intact_files_of_an_output_stay_if_its_listing_is_lost(root: Path, lines: Callable[[], list[str]]) -> None:
    damage(root / FOLDER)
    damage(root / "out/b")
    check(repair=True)
    assert lines()[1] == "out is not what dvc.lock says (b): removed"
    assert [path.name for path in (root / "out").iterdir()] == ["a"]
    run("dvc", "repro", "--quiet")
    assert (root / "out/b").read_text() == "two\n"


def test_a_damaged_entry_of_the_run_cache_is_removed(root: Path) -> None:
    path = entry(root)
    damage(path)
    check(repair=True)
    assert not path.exists()
    assert "didn't change" in run("dvc", "repro")


def test_another_version_of_an_output_is_not_damage(root: Path, lines: Callable[[], list[str]]) -> None:
    (root / "dvc.yaml").write_text(PIPELINE.replace("echo two", "echo three"))
    run("dvc", "repro", "--quiet")
    run("git", "checkout", "--quiet", "dvc.lock", "dvc.yaml")
    check(repair=True)
    assert lines() == ["nothing is damaged"]
    assert (root / "out/b").read_text() == "three\n"


def test_quick_reads_only_objects_that_dvcs_database_does_not_know(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc_data.hashfile import hash as hashing

    file_md5, read = hashing.file_md5, list[str]()

    def recorded(path: str, *arguments: Any, **options: Any) -> str:
        read.append(path)
        return str(file_md5(path, *arguments, **options))

    monkeypatch.setattr(hashing, "file_md5", recorded)
    check(quick=True)
    assert read == []
    (root / ONE).touch()
    check(quick=True)
    assert read == [str(root / ONE)]


def test_quick_repairs_an_object_whose_size_changed_and_its_output(made: Path, root: Path) -> None:
    (root / ONE).chmod(0o644)
    (root / ONE).write_bytes(b"")
    (root / ONE).chmod(0o444)
    restore_from_cache(root)
    check(quick=True, repair=True)
    assert not (root / "out/a").exists()
    run("dvc", "repro", "--quiet")
    assert files(root) == files(made)


BROKEN = {"empty": b"", "cut": b"schema: '2.0'\nstages:\n  make:\n    cmd", "no text": b"\xff\xfe\x00"}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_half_written_lock_file_is_put_aside_and_taken_from_git(
    made: Path, root: Path, lines: Callable[[], list[str]], content: bytes
) -> None:
    (root / "dvc.lock").write_bytes(content)
    with pytest.raises(UserError, match="1 thing is damaged"):
        check()
    assert lines() == [f"dvc.lock can't be read: {HOW}"]
    assert (root / "dvc.lock").read_bytes() == content

    check(repair=True, quick=True)

    assert lines()[0] == "dvc.lock can't be read: renamed to dvc.lock.damaged, and git's version restored"
    assert files(root) == files(made) | {"dvc.lock.damaged": content}
    assert "Running" not in run("dvc", "repro")


def test_a_lock_file_that_git_lacks_is_made_again_from_the_cache(
    made: Path, root: Path, lines: Callable[[], list[str]]
) -> None:
    run("git", "rm", "--quiet", "--cached", "dvc.lock")
    for number in range(2):
        (root / "dvc.lock").write_text(f"broken {number}")
        check(repair=True)
        assert not (root / "dvc.lock").exists()
        assert "; git has no version to restore (" in lines()[0]
    assert (root / "dvc.lock.damaged").read_text() == "broken 0"
    assert (root / "dvc.lock.damaged1").read_text() == "broken 1"
    assert run("dvc", "repro").count("is cached - skipping run") == 2
    assert (root / "dvc.lock").read_bytes() == (made / "dvc.lock").read_bytes()


def test_half_written_parameters_are_put_aside(made: Path, root: Path, lines: Callable[[], list[str]]) -> None:
    (root / "params.yaml").write_text("x: [1")
    check(repair=True, quick=True)
    assert lines()[0].startswith("params.yaml can't be read: renamed to params.yaml.damaged")

    (root / "params.yaml").write_text("x: [1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(root))
        check(repair=True, quick=True)
    assert "git has no version to restore (git can't be run: No such file or directory)" in lines()[0]
    run("dvc", "repro", "--quiet")
    assert (root / "params.yaml").read_bytes() == (made / "params.yaml").read_bytes()


@pytest.mark.parametrize("content", [b"", b'{"write": {"/a": {"pid"', b'{"a": {}}', b"[]", b"\xff"])
def test_a_half_written_list_of_processes_is_removed(
    root: Path, lines: Callable[[], list[str]], content: bytes
) -> None:
    (root / ".dvc/tmp/rwlock").write_bytes(content)
    with pytest.raises(UserError, match="1 thing is damaged"):
        check()
    check(repair=True, quick=True)
    assert lines()[:2] == [
        f".dvc/tmp/rwlock can't be read: {HOW}",
        ".dvc/tmp/rwlock can't be read: removed",
    ]
    run("dvc", "repro", "--quiet")


def write_holder(root: Path, pid: int) -> Path:
    """Write a list of processes in which one holds the folder `out` for writing."""
    path = root / ".dvc/tmp/rwlock"
    path.write_text(json.dumps({"write": {str(root / "out"): {"pid": pid, "cmd": "dvc repro"}}, "read": {}}))
    return path


def test_a_process_that_started_after_the_list_only_reuses_an_id(root: Path, lines: Callable[[], list[str]]) -> None:
    path = write_holder(root, os.getpid())
    os.utime(path, (0, 0))
    check(repair=True)
    assert lines()[0] == (".dvc/tmp/rwlock names an ended process, whose id another process has now: removed")
    run("dvc", "repro", "--quiet")


def test_a_process_that_is_gone_is_left_to_dvc(root: Path, lines: Callable[[], list[str]]) -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    write_holder(root, ended.pid)
    check(repair=True)
    assert lines() == ["nothing is damaged"]


def test_files_that_a_running_command_writes_are_left_alone(root: Path, lines: Callable[[], list[str]]) -> None:
    os.mkfifo(root / "go")
    (root / "dvc.yaml").write_text(PIPELINE.replace("mkdir -p out", "mkdir -p out && echo begun && read x < go"))
    command = [str(Path(sys.executable).parent / "dvc"), "repro"]
    damage(root / ONE)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        assert any(line == "begun\n" for line in process.stdout)
        before = files(root)

        with pytest.raises(UserError, match=rf"DVC is at work here \(PID {process.pid}\): .*repro: wait until it ends"):
            check(repair=True)
        with pytest.raises(UserError, match="1 thing is damaged"):
            check()

        first, second = lines()
        assert first.startswith(f"outputs are skipped: DVC is at work here (PID {process.pid})")
        assert second == f"{ONE} is damaged: {HOW}"
        assert files(root) == before
        (root / "go").write_text("\n")
        output = process.stdout.read()
    assert process.returncode == 0, output
    check(repair=True)
    assert (root / ONE).read_text() == "one\n"


def test_a_folder_without_dvc_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="you are not inside of a DVC repository"):
        check()


@pytest.fixture
def remote(root: Path) -> Path:
    """Push the whole repository to a folder that is its default remote `storage`."""
    folder = root.parent / "storage"
    run("dvc", "remote", "add", "--default", "--quiet", "storage", str(folder))
    run("dvc", "remote", "modify", "storage", "verify", "true")
    run("dvc", "push", "--quiet", "--run-cache")
    return folder


def in_remote(name: str) -> str:
    return name.removeprefix(".dvc/cache/")


@pytest.mark.usefixtures("root")
def test_a_remote_without_verify_is_reported(lines: Callable[[], list[str]]) -> None:
    run("dvc", "remote", "add", "--quiet", "storage", "elsewhere")
    run("dvc", "remote", "add", "--quiet", "--local", "mine", "elsewhere")
    check()
    told = [re.findall("`(dvc remote .*)`", line) for line in lines()]
    assert told == [
        ["dvc remote modify storage verify true"],
        ["dvc remote modify --local mine verify true"],
        [],  # nothing is damaged
    ]
    for (command,) in told[:2]:
        run(*command.split())
    check()
    assert lines() == ["nothing is damaged"]


def test_an_intact_remote_is_left_as_it_is(remote: Path, lines: Callable[[], list[str]]) -> None:
    before = files(remote)
    check(remote="")
    check(remote="storage", repair=True)
    assert lines() == ["nothing is damaged"] * 2
    assert files(remote) == before


@pytest.mark.parametrize(("name", "of"), [(ONE, "out"), (FOLDER, "out")], ids=["file", "list"])
def test_a_damaged_object_of_a_remote_is_named_removed_and_sent_again(
    name: str, of: str, remote: Path, lines: Callable[[], list[str]]
) -> None:
    before = files(remote)
    damage(remote / in_remote(name))
    with pytest.raises(UserError, match="1 thing is damaged"):
        check(remote="")
    where = f"{remote / in_remote(name)} is damaged (of {of})"
    assert lines() == [f"{where}: run `seqmnist check --remote storage --repair`"]

    check(remote="", repair=True)
    assert lines() == [
        f"{where}: removed",
        "`dvc push --run-cache -r storage` in a clone that has it whole sends it again",
    ]
    run("dvc", "push", "--quiet")
    assert files(remote) == before


def test_a_damaged_entry_of_a_remotes_run_cache_is_sent_again(remote: Path, lines: Callable[[], list[str]]) -> None:
    before = files(remote)
    path = entry_of(remote / "runs")
    damage(path)
    check(remote="", repair=True)
    assert lines()[0] == f"{path} is damaged: removed"
    assert not path.exists()
    run("dvc", "push", "--quiet", "--run-cache")
    assert files(remote) == before


def test_an_unfinished_upload_stays(remote: Path, lines: Callable[[], list[str]]) -> None:
    part = remote / f"{in_remote(ONE)}.Kb3xS"
    part.write_text("on")
    check(remote="", repair=True)
    assert lines() == ["nothing is damaged"]
    assert part.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("storage", "remote storage: nothing is at .*/nowhere: is its disk there\\? If so `dvc push` first"),
        ("cloud", "remote cloud: gs is supported, but requires 'dvc-gs' to be installed; for SSH and S3 activate"),
        ("other", "DVC: .*remote 'other' doesn't exist"),
    ],
    ids=["empty", "without its package", "unknown"],
)
def test_a_remote_that_cannot_be_read_is_refused(root: Path, name: str, message: str) -> None:
    run("dvc", "remote", "add", "--quiet", "storage", str(root / "nowhere"))
    run("dvc", "remote", "add", "--quiet", "cloud", "gs://nowhere/at/all")
    with pytest.raises(UserError, match=message):
        check(remote=name)


@pytest.mark.usefixtures("root")
def test_without_a_default_remote_its_name_is_asked_for() -> None:
    with pytest.raises(UserError, match=r"no remote specified"):
        check(remote="")
