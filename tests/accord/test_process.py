import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from accord.errors import UserError
from accord.process import require_project

ROOT = Path(__file__).parents[2]
# SIGHUP gets its default handler, because under nohup it would be ignored.
IMPORTS = (
    "import os, signal, sys\nfrom pathlib import Path\nfrom accord.errors import UserError\n"
    "from accord.process import run_command\n"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
)


def program(body: str) -> list[str]:
    """Return a command whose main has the given body."""
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    return [sys.executable, "-c", f"{IMPORTS}def main() -> None:\n{indented}run_command(main)\n"]


def run(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(program(body), capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("body", "code", "output", "errors"),
    [
        ("print('done')", 0, "done\n", ""),
        ("print('begun'); raise UserError('units are 0')", 1, "begun\n", "error: units are 0\n"),
        ("open('/nowhere/file')", 1, "", "error: /nowhere/file: No such file or directory\n"),
        ("Path('/').write_text('')", 1, "", "error: /: Is a directory\n"),
        ("raise OSError(28, 'No space left on device')", 1, "", "error: [Errno 28] No space left on device\n"),
        ("error = OSError('can not flush'); error.filename = 'f'; raise error", 1, "", "error: f: can not flush\n"),
        ("raise KeyboardInterrupt", 130, "", "interrupted\n"),
    ],
    ids=["success", "user error", "missing file", "folder", "no file", "no number", "interrupt"],
)
def test_command_ends_with_a_code_and_at_most_one_line(body: str, code: int, output: str, errors: str) -> None:
    result = run(body)
    assert (result.returncode, result.stdout, result.stderr) == (code, output, errors)


@pytest.mark.parametrize("raised", ["ValueError('oops')", "TypeError('oops')"])
def test_defect_keeps_its_traceback(raised: str) -> None:
    result = run(f"raise {raised}")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("Error: oops\n")


def test_the_garbage_collector_skips_objects_that_live_to_the_end() -> None:
    last = "import atexit, gc\natexit.register(lambda: print('left alone:', gc.get_freeze_count() > 20_000))\n"
    body = (
        "gc.callbacks.append(lambda *_: print('collected'))\n"
        "global kept\nkept = [[] for _ in range(30_000)]\n"
        "gc.callbacks.clear()"
    )
    *python, text = program(body)
    result = subprocess.run([*python, last + text], capture_output=True, text=True, check=False, timeout=60)
    assert (result.stdout, result.stderr) == ("left alone: True\n", "")


# A busy loop, because a signal right before a blocking call would not end that call. SIGINT's handler is set because a
# child of a background job starts with SIGINT ignored.
WAIT = """
signal.signal(signal.SIGINT, signal.default_int_handler)
print("ready", flush=True)
while True:
    pass
"""


def run_and_signal(body: str, number: signal.Signals) -> tuple[int, str]:
    """Signal a command when it has printed "ready"; return its exit code and what it printed to stderr."""
    with subprocess.Popen(program(body), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    return process.returncode, errors


@pytest.mark.parametrize(
    ("number", "expected"),
    [(signal.SIGTERM, (143, "terminated\n")), (signal.SIGINT, (130, "interrupted\n"))],
    ids=["SIGTERM", "SIGINT"],
)
def test_signal_ends_the_command_in_one_line(number: signal.Signals, expected: tuple[int, str]) -> None:
    assert run_and_signal(WAIT, number) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_signal_runs_clean_up_but_no_handler_of_errors(tmp_path: Path, number: signal.Signals) -> None:
    marker = tmp_path / "cleaned up"
    lines = ["try:", *(f"    {line}" for line in WAIT.strip().splitlines())]
    lines += ["except Exception:", "    print('handled', file=sys.stderr)"]
    lines += ["finally:", f"    Path({str(marker)!r}).touch()"]
    _, errors = run_and_signal("\n".join(lines), number)
    assert "handled" not in errors
    assert marker.exists()


def test_signal_within_a_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    lines = ["from accord.files import atomic_path", f"with atomic_path(Path({str(path)!r})) as temporary:"]
    lines += ["    temporary.write_text('new')", *(f"    {line}" for line in WAIT.strip().splitlines())]
    assert run_and_signal("\n".join(lines), signal.SIGTERM) == (143, "terminated\n")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


DROPPED = """
import weakref
signal.signal(signal.SIGINT, signal.default_int_handler)
class Thing: pass
thing = Thing()
def callback(_reference):
    os.kill(os.getpid(), signal.NUMBER)
    while True: pass
reference = weakref.ref(thing, callback)
del thing
while True: pass
"""


@pytest.mark.parametrize(
    ("number", "expected"),
    [("SIGINT", (130, "interrupted\n")), ("SIGTERM", (143, "terminated\n")), ("SIGHUP", (143, "terminated\n"))],
)
def test_a_signal_that_python_drops_in_a_callback_is_not_lost(number: str, expected: tuple[int, str]) -> None:
    result = run(DROPPED.replace("NUMBER", number))
    assert (result.returncode, result.stderr) == expected


def test_other_errors_in_a_finalizer_are_still_shown() -> None:
    result = run("class Thing:\n    def __del__(self): raise ValueError('oops')\nThing()\nprint('done')")
    assert result.returncode == 0
    assert "ValueError: oops" in result.stderr


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_can_wait_for_the_end_of_a_block(number: str, code: int) -> None:
    body = (
        "from accord.process import signals_waiting\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"with signals_waiting():\n    os.kill(os.getpid(), signal.{number})\n    print('whole')\nprint('never')"
    )
    result = run(body)
    assert (result.returncode, result.stdout) == (code, "whole\n")


STARTER = """
import subprocess, sys
with subprocess.Popen(sys.argv[1:]) as child:
    print(child.pid, flush=True)
    child.wait()
"""


def kill_the_parent(seconds: float, **environment: str) -> tuple[str, str]:
    """Kill the parent of a command, and return its output to stdout and stderr in the seconds afterwards."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, *program(WAIT)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # in a new process group, as a shell starts DVC
    ) as parent:
        assert parent.stdout is not None
        command = int(parent.stdout.readline())
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        try:
            return parent.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.kill(command, signal.SIGKILL)
            return parent.communicate()


def test_a_stage_ends_when_its_dvc_was_killed() -> None:
    assert kill_the_parent(30, DVC_STAGE="train@rnn") == ("", "terminated\n")


def test_a_command_outlives_the_shell_that_started_it() -> None:
    assert kill_the_parent(2) == ("", "")


@pytest.mark.parametrize("below", [".", "conf/cell", "sweeps/one/0"])
def test_the_code_of_another_repository_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    for folder in (".dvc", "src/seqmnist", below):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "src/seqmnist/__init__.py").touch()
    monkeypatch.chdir(tmp_path / below)
    with pytest.raises(UserError) as caught:
        require_project()
    assert str(caught.value).startswith(
        f"this environment runs the code in {ROOT}/src/seqmnist, not that in {tmp_path}/src/seqmnist: install that one"
    )


@pytest.mark.parametrize("module", ["seqmnist", "seqmnist.sweep"])
def test_commands_of_another_repository_end_before_any_work(tmp_path: Path, module: str) -> None:
    for folder in (".dvc", "conf", "src/seqmnist"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "src/seqmnist/__init__.py").touch()
    command = [sys.executable, "-m", module, *(["sync"] if module == "seqmnist" else ["-m", "seed=1,2"])]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: this environment runs the code in {ROOT}/src/seqmnist, ")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".dvc", "conf", "src"]


def test_folders_in_src_that_are_not_packages_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (".dvc", "src/code", "src/a package", "src/nobody_installed_it"):
        (tmp_path / folder).mkdir(parents=True)
    for package in ("a package", "nobody_installed_it"):
        (tmp_path / "src" / package / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    require_project()


def test_the_repositorys_own_code_is_accepted_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(ROOT)
    for folder in (ROOT / "tests", tmp_path / "link"):
        monkeypatch.chdir(folder)
        require_project()
