import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.files import (
    atomic_path,
    sha256_file,
    sha256_files,
    sha256_json,
    write_bytes,
    write_csv,
    write_json,
    write_text,
)


class Stop(BaseException):
    """An error that is no `Exception`, like KeyboardInterrupt."""


def write_and_raise(path: Path, error: BaseException) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        raise error


def test_file_appears_whole_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_parent_folders_are_created(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "file", "text")
    assert (tmp_path / "a" / "b" / "file").read_text() == "text"


@pytest.mark.parametrize("error", [ValueError(), Stop()], ids=["error", "interrupt"])
@pytest.mark.parametrize("old", ["old", None], ids=["replacing", "new"])
def test_an_exception_leaves_the_old_file(tmp_path: Path, old: str | None, error: BaseException) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_text(old)
    with pytest.raises(type(error)):
        write_and_raise(path, error)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == ({} if old is None else {"file": old})


def test_temporary_path_is_beside_the_file_hidden_and_with_its_suffixes(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "model.weights.h5") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.name.endswith(".weights.h5")


def test_writer_may_replace_the_temporary_file(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "file") as temporary:
        temporary.unlink()
        temporary.write_text("new")
    assert (tmp_path / "file").read_text() == "new"


def test_file_is_readable_by_others(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "text")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_failed_rename_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path / "folder", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_bytes_are_flushed_before_the_file_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def record_fsync(handle: int) -> None:
        fsync(handle)
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"{os.fstat(handle).st_size} bytes")

    def record_replace(path: Path, target: Path) -> Path:
        done.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)
    write_text(tmp_path / "file", "text")
    assert done == ["4 bytes", "rename", "folder"]


def test_a_folder_that_cannot_be_flushed_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_folders(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse_folders)
    write_text(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"


def test_a_failed_flush_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        write_text(tmp_path / "file", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "old"}


def limited(body: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that can't write more than 1,000 bytes to a file, as on a full disk."""
    program = (
        "import resource\nfrom pathlib import Path\nimport numpy as np\nfrom accord import files\n"
        "from seqmnist.data import splits\nfrom accord.process import run_command\n"
        f"def main() -> None:\n    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n    {body}\n"
        "run_command(main, needs_project=False)\n"
    )
    return subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("files.write_text(Path('new/file'), 2000 * 'x')", "new/file"),
        ("files.write_json(Path('new/file.json'), 1000 * [7])", "new/file.json"),
        (
            "splits.save(Path('new'), {'test': splits.Split(np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8))})",
            "new/test.images.npy",
        ),
    ],
    ids=["text", "JSON", "arrays"],
)
def test_a_failed_write_is_one_line_that_names_the_file(tmp_path: Path, body: str, name: str) -> None:
    result = limited(body, tmp_path)
    assert (result.returncode, result.stderr) == (1, f"error: {name}: File too large\n")
    assert list((tmp_path / "new").iterdir()) == []


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "é\r\n\n")
    assert (tmp_path / "file").read_bytes() == b"\xc3\xa9\r\n\n"


def test_json_is_indented_and_keeps_the_order_of_keys(tmp_path: Path) -> None:
    write_json(tmp_path / "file", {"b": 1, "a": [0.1]})
    assert (tmp_path / "file").read_bytes() == b'{\n  "b": 1,\n  "a": [\n    0.1\n  ]\n}\n'


def test_value_that_json_lacks_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=10,
)


@given(value=JSON)
def test_written_json_is_the_value_in_the_same_bytes_each_time(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    first = path.read_bytes()
    write_json(path, json.loads(first))
    assert json.loads(first) == value
    assert path.read_bytes() == first


@given(value=st.dictionaries(st.text(), JSON, min_size=1))
def test_digest_of_json_ignores_the_order_of_keys_only(value: dict[str, Any]) -> None:
    digest = sha256_json(value)
    assert sha256_json(dict(reversed(value.items()))) == digest
    key = next(iter(value))
    assert sha256_json(value | {key: [value[key]]}) != digest


@pytest.mark.parametrize("content", [b"", b"abc", bytes(3_000_000)], ids=["empty", "short", "long"])
def test_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_files_are_named_relative_to_their_folder(tmp_path: Path) -> None:
    write_bytes(tmp_path / "below/b", b"\0b")
    write_text(tmp_path / "a", "")
    (tmp_path / "empty").mkdir()
    assert sha256_files(tmp_path) == {
        "a": hashlib.sha256().hexdigest(),
        "below/b": hashlib.sha256(b"\0b").hexdigest(),
    }


def test_csv_holds_floats_in_full_and_quotes_what_needs_it(tmp_path: Path) -> None:
    write_csv(tmp_path / "new" / "table.csv", [["name", "value"], ["a,b", 1 / 3], ["c", 1e-17]])

    assert (tmp_path / "new" / "table.csv").read_bytes() == b'name,value\n"a,b",0.3333333333333333\nc,1e-17\n'
