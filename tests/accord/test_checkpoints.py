import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accord
from accord import checkpoints
from accord.checkpoints import Checkpoints, finished_epochs, training_key
from tests.skipping import skip

PACKAGE = Path(checkpoints.__file__).parent
CODE = ["accord/integrity", "accord/sweep", "accord/tracking", "accord/files.py", "accord/settings.py"]
RECIPE = {"cell": {"units": 4}, "seed": 1}
DATA = {"train": "0" * 64}
ANEW = "checkpoints of rnn-seed-42 are of another recipe, data, code or version: they are removed"
FILES = ["optimizer/moments", "weights"]  # the files of a checkpoint
KEY = "import sys; from accord.checkpoints import training_key; print(training_key({}, {}, sys.argv[1:], []))"
HOLD = """
import sys
from pathlib import Path
from accord.checkpoints import Checkpoints

class Slow:
    def save(self, folder):
        (folder / "weights").write_text("half")
        print("saving", flush=True)
        sys.stdin.read()

checkpoints = Checkpoints(Path(sys.argv[1]), "key")
print("held", flush=True)
sys.stdin.readline()
checkpoints.save({}, Slow(), "")
"""
COUNT = """
import sys
from pathlib import Path
from accord.checkpoints import Checkpoints

class State:
    def save(self, folder):
        (folder / "weights").write_bytes(bytes(10_000))

def bytes_of_this_process():
    read, written, *_ = Path("/proc/self/io").read_text().split("\\n")
    return int(read.split()[1]), int(written.split()[1])

with Checkpoints(Path(sys.argv[1]), "key") as checkpoints:
    for _ in range(int(sys.argv[2])):
        before = bytes_of_this_process()
        checkpoints.save({"val.loss": 0.5}, State(), "0123abcd")
        print(*(now - then for now, then in zip(bytes_of_this_process(), before)))
"""


@dataclass
class State:
    """A state that is saved as two files, one of them in a subfolder."""

    epochs: int

    def save(self, folder: Path) -> None:
        (folder / "optimizer").mkdir()
        (folder / "optimizer" / "moments").write_text(f"moments {self.epochs}")
        (folder / "weights").write_text(f"weights {self.epochs}")

    def load(self, folder: Path) -> None:
        (epochs,) = {int((folder / name).read_text().split()[1]) for name in ("weights", "optimizer/moments")}
        self.epochs = epochs


@dataclass
class Failing(State):
    """A state whose `save` raises an error after it has written files."""

    error: BaseException

    def save(self, folder: Path) -> None:
        super().save(folder)
        raise self.error


def row(epochs: int) -> dict[str, float]:
    return {"val.loss": 1 / 3 / epochs, "val.accuracy": 0.1 * epochs}


def save(kept: Checkpoints, epochs: int) -> None:
    kept.save(row(epochs), State(epochs), f"run {epochs}")


def save_until(folder: Path, epochs: int) -> None:
    """Save the checkpoints of a training that was stopped after `epochs` epochs."""
    with Checkpoints(folder, "key") as kept:
        for number in range(1, epochs + 1):
            save(kept, number)


def assert_at(kept: Checkpoints, epochs: int) -> None:
    state = State(-1)
    assert kept.load(state) == [row(number) for number in range(1, epochs + 1)]
    assert (kept.epochs, kept.run_id) == (epochs, f"run {epochs}" if epochs else "")
    assert state.epochs == (epochs or -1)


def assert_stands_at(folder: Path, epochs: int) -> None:
    with Checkpoints(folder, "key") as kept:
        assert_at(kept, epochs)


def generations(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("after-*"))


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip(path: Path, where: float = 0.5, mask: int = 1) -> None:
    changed = bytearray(path.read_bytes())
    changed[int(where * len(changed))] ^= mask
    path.write_bytes(changed)


def test_the_newest_checkpoint_comes_back_with_the_metrics_of_all_epochs(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "rnn", "key") as kept:
        assert_at(kept, 0)
        for epochs in range(1, 13):
            save(kept, epochs)
            assert_at(kept, epochs)
        assert generations(tmp_path) == ["after-000011", "after-000012"]

    with Checkpoints(tmp_path / "rnn", "key") as kept:
        assert_at(kept, 12)
        save(kept, 13)
    assert_stands_at(tmp_path / "rnn", 13)
    with Checkpoints(tmp_path / "rnn", "key") as kept:
        kept.remove()
    assert list((tmp_path / "rnn").iterdir()) == []


def test_infinite_and_nan_metrics_and_an_empty_run_id_are_kept(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, "key") as kept:
        kept.save({"val.loss": float("inf"), "val.ece": float("nan")}, State(1), "")
    with Checkpoints(tmp_path, "key") as kept:
        assert str(kept.load(State(0))) == "[{'val.loss': inf, 'val.ece': nan}]"
        assert (kept.epochs, kept.run_id) == (1, "")


@settings(max_examples=30)
@given(
    name=st.sampled_from(FILES), where=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255), cut=st.booleans()
)
def test_any_damage_of_a_checkpoint_is_noticed_and_the_one_before_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, name: str, where: float, mask: int, cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("checkpoints")
    save_until(folder, 3)
    path = folder / "key" / "after-000003" / name
    if cut:
        path.write_bytes(path.read_bytes()[: int(where * path.stat().st_size)])
    else:
        flip(path, where, mask)

    with Checkpoints(folder, "key") as kept:
        assert_at(kept, 2)
        assert generations(folder) == ["after-000002"]
        save(kept, 3)
    assert_stands_at(folder, 3)


@settings(max_examples=30)
@given(line=st.integers(1, 4), where=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255), cut=st.booleans())
def test_damaged_metrics_invalidate_the_checkpoints_that_need_them(
    tmp_path_factory: pytest.TempPathFactory, line: int, where: float, mask: int, cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("checkpoints")
    save_until(folder, 4)
    path = folder / "key" / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    before, damaged = b"".join(lines[: line - 1]), lines[line - 1]
    changed = bytearray(damaged)
    changed[int(where * len(damaged))] ^= mask
    path.write_bytes(before + (damaged[: int(where * len(damaged))] if cut else changed + b"".join(lines[line:])))

    with Checkpoints(folder, "key") as kept:
        assert_at(kept, 3 if line == 4 else 0)
        save(kept, kept.epochs + 1)
        save(kept, kept.epochs + 1)
        assert_at(kept, 5 if line == 4 else 2)
    assert_stands_at(folder, 5 if line == 4 else 2)


def test_a_flipped_bit_anywhere_in_a_line_is_noticed() -> None:
    record = {"epochs": 1, "metrics": row(1)}
    line = checkpoints._sealed(record)
    assert checkpoints._intact_records(line) == [record]
    for bit in range(8 * len(line)):
        changed = bytearray(line)
        changed[bit // 8] ^= 1 << bit % 8
        assert checkpoints._intact_records(bytes(changed)) == []


@pytest.mark.parametrize("line", [b"", b"\n", b"{}\n", b"[]\n", b"0\n", b"\0\0\0\0", b'{"sha256": 0}\n'])
def test_lines_that_are_not_records_are_damage(line: bytes) -> None:
    assert checkpoints._intact_records(line) == []


@pytest.mark.parametrize("order", [[0, 2, 1, 3], [0, 0, 1, 2, 3], [1, 2, 3]], ids=["swapped", "doubled", "lost"])
def test_intact_lines_in_the_wrong_order_are_damage(tmp_path: Path, order: list[int]) -> None:
    save_until(tmp_path, 4)
    path = tmp_path / "key" / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[number] for number in order))

    assert_stands_at(tmp_path, 0)


@pytest.mark.parametrize("end", [b'{"sha', b"\n", b"the next epoch"])
def test_lines_after_those_of_the_newest_checkpoint_are_cut_off(tmp_path: Path, end: bytes) -> None:
    save_until(tmp_path, 3)
    path = tmp_path / "key" / "metrics.jsonl"
    before = path.read_bytes()
    other = tmp_path.with_name(f"{tmp_path.name}-longer")
    save_until(other, 4)
    longer = (other / "key" / "metrics.jsonl").read_bytes()
    path.write_bytes(longer if end == b"the next epoch" else before + end)

    with Checkpoints(tmp_path, "key") as kept:
        assert_at(kept, 3)
        assert path.read_bytes() == before
        save(kept, 4)
    assert path.read_bytes() == longer


def remove_weights(generation: Path) -> None:
    (generation / "weights").unlink()


def become_a_folder(generation: Path) -> None:
    (generation / "weights").unlink()
    (generation / "weights").mkdir()


def empty(generation: Path) -> None:
    shutil.rmtree(generation)
    generation.mkdir()


def copy_the_one_before(generation: Path) -> None:
    shutil.rmtree(generation)
    shutil.copytree(generation.with_name("after-000002"), generation)


def damage_its_line(generation: Path) -> None:
    flip(generation.parent / "metrics.jsonl", 0.9)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (remove_weights, "weights is missing"),
        (become_a_folder, "weights is missing"),
        (empty, "optimizer/moments is missing"),
        (copy_the_one_before, "optimizer/moments: its SHA-256 is another"),
        (damage_its_line, "metrics.jsonl has 2 intact lines of 3"),
    ],
)
def test_a_damaged_checkpoint_is_reported_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], reason: str
) -> None:
    save_until(tmp_path, 3)
    damage(tmp_path / "key" / "after-000003")

    assert_stands_at(tmp_path, 2)

    then = "going back to the one before it"
    assert capsys.readouterr().out == f"after-000003 of {tmp_path / 'key'} is damaged ({reason}): {then}\n"
    assert generations(tmp_path) == ["after-000002"]


def test_an_extra_file_in_a_checkpoint_is_not_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_until(tmp_path, 2)
    (tmp_path / "key" / "after-000002" / ".DS_Store").write_text("of a file manager")
    assert_stands_at(tmp_path, 2)
    assert capsys.readouterr().out == ""


def test_two_damaged_checkpoints_are_reported_and_the_training_starts_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_until(tmp_path, 9)
    for path in tmp_path.rglob("weights"):
        path.write_bytes(b"")

    with Checkpoints(tmp_path, "key") as kept:
        assert_at(kept, 0)
        save(kept, 1)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("after-000009 of ")
    assert first.endswith("is damaged (weights: its SHA-256 is another): going back to the one before it")
    assert second.startswith("after-000008 of ")
    assert second.endswith("is damaged (weights: its SHA-256 is another): the training starts anew")
    assert_stands_at(tmp_path, 1)


@pytest.mark.parametrize("epochs", [0, 2])
@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_a_failed_save_changes_nothing_and_can_be_repeated(
    tmp_path: Path, epochs: int, kind: type[BaseException]
) -> None:
    save_until(tmp_path, epochs)
    error = kind(28, "No space left on device")

    with Checkpoints(tmp_path, "key") as kept:
        before = content(tmp_path)
        with pytest.raises(kind):
            kept.save(row(epochs + 1), Failing(epochs + 1, error), "")

        assert content(tmp_path) == before
        assert not [path for path in (tmp_path / "key").iterdir() if path.name.startswith(".")]
        assert_at(kept, epochs)
        save(kept, epochs + 1)
    assert_stands_at(tmp_path, epochs + 1)
    if isinstance(error, OSError):
        assert error.filename == str(tmp_path / "key" / f"after-{epochs + 1:06}")


def test_a_full_disk_is_noticed_when_the_metrics_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    save_until(tmp_path, 2)
    with Checkpoints(tmp_path, "key") as kept:
        before = content(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(OSError, match=r"No space left on device: .*metrics\.jsonl'"):
                save(kept, 3)
        assert content(tmp_path) == before
        save(kept, 3)
    assert_stands_at(tmp_path, 3)


def test_a_line_names_epochs_run_metrics_and_files(tmp_path: Path) -> None:
    save_until(tmp_path, 1)
    (line,) = map(json.loads, (tmp_path / "key" / "metrics.jsonl").read_text().splitlines())
    assert (line["epochs"], line["run_id"], line["metrics"]) == (1, "run 1", row(1))
    assert line["files"]["weights"] == hashlib.sha256(b"weights 1").hexdigest()
    assert list(line["files"]) == FILES


def test_an_interrupted_removal_is_finished_by_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_folder: Path) -> None:
        raise KeyboardInterrupt

    save_until(tmp_path, 2)
    with Checkpoints(tmp_path, "key") as kept, monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", stop)
        with pytest.raises(KeyboardInterrupt):
            kept.remove()
    assert_stands_at(tmp_path, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    assert capsys.readouterr().out == ""


def test_checkpoints_with_another_key_are_removed_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "rnn-seed-42"
    save_until(folder, 2)
    shutil.copytree(folder / "key", folder / "older")

    with Checkpoints(folder, "other") as kept:
        assert_at(kept, 0)
        assert [path.name for path in folder.iterdir()] == ["other"]
        save(kept, 1)
    assert capsys.readouterr().out == f"{ANEW} and the training starts anew\n"


def test_only_removed_checkpoints_are_reported_and_only_a_new_start_is_called_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "rnn-seed-42"
    save_until(folder, 2)
    (folder / "empty").mkdir()
    assert_stands_at(folder, 2)
    assert not (folder / "empty").exists()
    assert capsys.readouterr().out == ""

    (folder / "old").mkdir()
    (folder / "old" / "after-000012").write_bytes(b"a file of an older version")
    assert_stands_at(folder, 2)
    assert not (folder / "old").exists()
    assert capsys.readouterr().out == f"{ANEW}\n"


def test_checkpoints_are_locked_until_their_process_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_until(tmp_path, 2)
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        before = content(tmp_path)

        with Checkpoints(tmp_path, "key") as same:
            assert same.is_shared
            save(same, 3)
            assert_at(same, 0)
            same.remove()
        with Checkpoints(tmp_path, "other") as other:
            assert not other.is_shared
            other.remove()
        assert content(tmp_path) == before
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "saving\n"
        process.kill()

    with Checkpoints(tmp_path, "key") as freed:
        assert not freed.is_shared
        assert_at(freed, 2)
        assert content(tmp_path) == before
        assert not list(tmp_path.glob("key/.*"))
    assert capsys.readouterr().out == ""


def test_the_lock_is_released_if_the_checkpoints_cannot_be_read(tmp_path: Path) -> None:
    save_until(tmp_path, 1)
    metrics = tmp_path / "key" / "metrics.jsonl"
    metrics.unlink()
    metrics.mkdir()
    with pytest.raises(IsADirectoryError, match=r"metrics\.jsonl"):
        Checkpoints(tmp_path, "key")
    metrics.rmdir()
    with Checkpoints(tmp_path, "key") as kept:
        assert not kept.is_shared


def test_a_save_costs_the_same_after_many_epochs(tmp_path: Path) -> None:
    if not Path("/proc/self/io").exists():
        skip("only Linux counts the bytes that a process reads")
    epochs = 300
    command = [sys.executable, "-c", COUNT, str(tmp_path), str(epochs)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    counts = [tuple(map(int, line.split())) for line in output.splitlines()]
    assert len(counts) == epochs
    few, many = counts[5], counts[-1]
    for early, late in zip(few, many, strict=True):
        assert 10_000 <= early <= late <= early + 10, "the epoch's number has more digits"


def test_a_save_does_not_rewrite_earlier_lines(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, "key") as kept:
        for epochs in (1, 2):
            save(kept, epochs)
        path = tmp_path / "key" / "metrics.jsonl"
        past = b"?" * path.stat().st_size
        path.write_bytes(past)
        save(kept, 3)
        assert path.read_bytes().startswith(past)


def test_finished_epochs_can_be_read_during_the_training(tmp_path: Path) -> None:
    assert finished_epochs(tmp_path / "nowhere") == finished_epochs(tmp_path) == []
    with Checkpoints(tmp_path / "rnn-seed-42", "key") as kept:
        assert finished_epochs(tmp_path) == []
        for epochs in range(1, 5):
            save(kept, epochs)
            assert finished_epochs(tmp_path) == [row(number) for number in range(1, epochs + 1)]
    assert finished_epochs(tmp_path) == finished_epochs(tmp_path / "rnn-seed-42") == list(map(row, range(1, 5)))


@settings(max_examples=12)
@given(share=st.floats(0, 1))
def test_a_half_written_line_is_not_a_finished_epoch(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    folder = tmp_path_factory.mktemp("checkpoints")
    save_until(folder, 3)
    path = folder / "key" / "metrics.jsonl"
    content = path.read_bytes()[: round(share * path.stat().st_size)]
    path.write_bytes(content)
    assert finished_epochs(folder) == [row(number) for number in range(1, content.count(b"\n") + 1)]


def test_finished_epochs_are_those_of_the_newest_training(tmp_path: Path) -> None:
    save_until(tmp_path / "first", 3)
    save_until(tmp_path / "second", 1)
    os.utime(tmp_path / "first/key/metrics.jsonl", ns=(0, 10))
    os.utime(tmp_path / "second/key/metrics.jsonl", ns=(0, 20))
    assert finished_epochs(tmp_path) == [row(1)]
    os.utime(tmp_path / "first/key/metrics.jsonl", ns=(0, 30))
    assert finished_epochs(tmp_path) == list(map(row, (1, 2, 3)))


def test_checkpoints_removed_during_the_read_have_no_finished_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_bytes(path: Path) -> bytes:
        shutil.rmtree(tmp_path / "key")
        raise FileNotFoundError(path)

    save_until(tmp_path, 1)
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert finished_epochs(tmp_path) == []


def key(data: dict[str, str] = DATA, **recipe: int) -> str:
    return training_key({**RECIPE, **recipe}, data, CODE, ["keras", "numpy"])


def test_a_key_changes_with_recipe_data_code_and_libraries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = {key(), key(seed=2), key(data={"train": "1"})}
    assert training_key(dict(reversed(RECIPE.items())), DATA, CODE, ["numpy", "keras"]) in keys
    keys.add(training_key(RECIPE, DATA, CODE, ["keras"]))
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", lambda _name: "0")
        keys.add(key())
    monkeypatch.setattr(accord, "__path__", [str(tmp_path)])
    for folder in ("integrity", "sweep", "tracking"):
        (tmp_path / folder).mkdir()
    for file in ("files.py", "settings.py", "tracking/store.py"):
        (tmp_path / file).write_text("")
    keys.add(key())
    (tmp_path / "tracking/store.py").write_text("# edited\n")
    keys.add(key())
    (tmp_path / "terminal.py").write_text("# not part of the code that a training depends on\n")
    assert key() in keys
    assert len(keys) == 7


def test_a_key_does_not_depend_on_where_packages_are_installed(tmp_path: Path) -> None:
    """On a Ray node, each package is in a folder of its own."""
    keys = set()
    for first, second in [("tree", "tree"), ("shipped/1", "shipped/2")]:
        for file in (f"{first}/one/files.py", f"{second}/two/data/splits.py"):
            (tmp_path / file).parent.mkdir(parents=True)
            (tmp_path / file).write_text(f"# {Path(file).name}\n")
        path = os.pathsep.join([str(tmp_path / first), str(tmp_path / second), str(PACKAGE.parent)])
        command = [sys.executable, "-c", KEY, "one/files.py", "two/data"]
        environment = {**os.environ, "PYTHONPATH": path}
        keys.add(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)
    assert len(keys) == 1


def test_missing_code_is_an_error_that_names_the_file() -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.py"):
        training_key(RECIPE, DATA, ["accord/config.py"], [])


def test_backup_files_of_editors_do_not_change_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = key()
    monkeypatch.setattr(accord, "__path__", [str(shutil.copytree(PACKAGE, tmp_path / "accord"))])
    assert before == key()
    folder = tmp_path / "accord" / "tracking"
    for name in ("._graph.py", "graph (1).py", "graph copy.py", "graph.sync-conflict-20260101-120000-ABCDEFG.py"):
        (folder / name).write_text("# no module\n")
    (folder / ".#graph.py").symlink_to("user@host.1234:5678")  # Emacs's lock is a dangling link
    (folder / ".history").mkdir()
    (folder / ".history" / "graph.py").write_text("# an older one\n")
    assert key() == before
