import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqmnist.training import checkpoints
from seqmnist.training.checkpoints import Checkpoint, Checkpoints, training_key
from seqmnist.training.trainer import Epoch

RECIPE = {"cell": {"units": 4}, "seed": 1}
DATA = {"train": "0" * 64}
HOLD = """
import sys
from pathlib import Path
from seqmnist.training.checkpoints import Checkpoints
keep = Checkpoints(Path(sys.argv[1]), sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


def checkpoint(epochs: int) -> Checkpoint:
    random = np.random.default_rng(epochs)
    state = [random.normal(size=shape).astype(np.float32) for shape in ((2, 3), (3,), (2, 3), (2, 3))]
    done = [Epoch(number, {"val.loss": float(random.normal())}, random.random(), 1 / 3) for number in range(epochs)]
    return Checkpoint(done, state, state[:2], "0123abcd")


def assert_same(one: Checkpoint | None, other: Checkpoint) -> None:
    assert one is not None
    assert (one.epochs, one.run_id) == (other.epochs, other.run_id)
    for arrays, expected in ((one.state, other.state), (one.best, other.best)):
        assert len(arrays) == len(expected)
        for array, same in zip(arrays, expected, strict=True):
            assert array.dtype == same.dtype
            np.testing.assert_array_equal(array, same)


def save_two(folder: Path) -> None:
    """The checkpoints of a training that was stopped after two epochs."""
    with Checkpoints(folder, "key") as keep:
        for epochs in (1, 2):
            keep.save(checkpoint(epochs))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("after-*"))


def test_the_newest_checkpoint_comes_back_to_the_bit(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "rnn", "key") as keep:
        assert keep.load() is None
        for epochs in range(1, 13):
            keep.save(checkpoint(epochs))

        assert_same(keep.load(), checkpoint(12))
        assert files(tmp_path) == ["after-000011", "after-000012"]
        keep.remove()
    assert list((tmp_path / "rnn").iterdir()) == []


@settings(max_examples=30)
@given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), cut=st.booleans())
def test_any_damage_is_noticed_and_the_one_before_is_taken(
    tmp_path_factory: pytest.TempPathFactory, where: float, flip: int, cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("checkpoints")
    save_two(folder)
    newest = folder / "key" / "after-000002"
    content = bytearray(newest.read_bytes())
    position = int(where * len(content))
    if cut:
        del content[position:]
    else:
        content[position] ^= flip
    newest.write_bytes(content)

    with Checkpoints(folder, "key") as keep:
        assert_same(keep.load(), checkpoint(1))


def test_two_damaged_files_are_told_of_and_nothing_is_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_two(tmp_path)
    for path in tmp_path.rglob("after-*"):
        path.write_bytes(b"")

    with Checkpoints(tmp_path, "key") as keep:
        assert keep.load() is None
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("after-000002 of ")
    assert first.endswith(": going back to the one before it")
    assert second.startswith("after-000001 of ")
    assert second.endswith("is damaged (its SHA-256 is another): the training starts anew")


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_two(tmp_path)

    def full(_path: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with Checkpoints(tmp_path, "key") as keep:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            with pytest.raises(OSError, match="No space left"):
                keep.save(checkpoint(3))

        assert sorted(path.name for path in (tmp_path / "key").iterdir()) == ["after-000001", "after-000002", "lock"]
        assert_same(keep.load(), checkpoint(2))


def test_another_key_finds_nothing_and_takes_the_place(tmp_path: Path) -> None:
    save_two(tmp_path)

    with Checkpoints(tmp_path, "other") as keep:
        assert keep.load() is None
        assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_what_another_process_holds_is_left_alone(tmp_path: Path) -> None:
    save_two(tmp_path)
    command = [sys.executable, "-c", HOLD, str(tmp_path), "key"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"

        with Checkpoints(tmp_path, "key") as same:
            assert same.is_shared
            same.save(checkpoint(3))
            assert same.load() is None
            same.remove()
        with Checkpoints(tmp_path, "other") as other:
            assert not other.is_shared
        assert files(tmp_path) == ["after-000001", "after-000002"]
        process.kill()

    with Checkpoints(tmp_path, "key") as freed:
        assert not freed.is_shared
        assert_same(freed.load(), checkpoint(2))


def test_a_key_changes_with_recipe_data_code_and_libraries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = {training_key(RECIPE, DATA), training_key({**RECIPE, "seed": 2}, DATA), training_key(RECIPE, {"train": "1"})}
    assert training_key(dict(reversed(RECIPE.items())), DATA) in keys
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.version", lambda _name: "0")
        keys.add(training_key(RECIPE, DATA))
    for name in checkpoints._CODE:
        assert (checkpoints._PACKAGE / name).exists()
    for folder in ("cells", "data", "training"):
        (tmp_path / folder).mkdir()
    for file in ("config.py", "randomness.py", "training/trainer.py"):
        (tmp_path / file).write_text("")
    monkeypatch.setattr(checkpoints, "_PACKAGE", tmp_path)
    keys.add(training_key(RECIPE, DATA))
    (tmp_path / "training/trainer.py").write_text("# edited\n")
    keys.add(training_key(RECIPE, DATA))
    (tmp_path / "terminal.py").write_text("# no part of what a training's bits depend on\n")
    assert training_key(RECIPE, DATA) in keys
    assert len(keys) == 6


def test_a_key_stays_where_editors_leave_copies_and_links(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(checkpoints._PACKAGE, tmp_path / "seqmnist")
    monkeypatch.setattr(checkpoints, "_PACKAGE", tmp_path / "seqmnist")
    before = training_key(RECIPE, DATA)
    folder = tmp_path / "seqmnist" / "training"
    for name in ("._graph.py", "graph (1).py", "graph copy.py", "graph.sync-conflict-20260101-120000-ABCDEFG.py"):
        (folder / name).write_text("# no module\n")
    (folder / ".#graph.py").symlink_to("user@host.1234:5678")  # Emacs's lock, a link to nothing
    (folder / ".history").mkdir()
    (folder / ".history" / "graph.py").write_text("# an older one\n")
    assert training_key(RECIPE, DATA) == before
