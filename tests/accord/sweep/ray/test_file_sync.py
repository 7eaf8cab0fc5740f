from pathlib import Path

import pytest

from accord.sweep.ray import file_sync
from accord.sweep.ray.file_sync import Change


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_only_changes_are_sent_and_make_the_copy_equal(tmp_path: Path) -> None:
    folder, copy = tmp_path / "folder", tmp_path / "copy"
    write(folder, a_txt="1", deep__b="2", deep__c="3")
    first = file_sync.stamps(folder)
    file_sync.unpack(copy, file_sync.changed(folder, {}, first))
    assert file_sync.pack(copy, file_sync.stamps(copy)) == {"a.txt": b"1", "deep/b": b"2", "deep/c": b"3"}

    (folder / "deep/b").unlink()
    write(folder, a_txt="another", d="4")
    change = file_sync.changed(folder, first, file_sync.stamps(folder))
    assert change == Change({"a.txt": b"another", "d": b"4"}, ["deep/b"])
    file_sync.unpack(copy, change)
    assert file_sync.pack(copy, file_sync.stamps(copy)) == {"a.txt": b"another", "d": b"4", "deep/c": b"3"}


def test_files_that_are_being_written_are_not_sent(tmp_path: Path) -> None:
    (tmp_path / ".a.half").write_text("x")
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra/config.yaml").write_text("x")
    assert list(file_sync.stamps(tmp_path)) == [".hydra/config.yaml"]
    assert file_sync.stamps(tmp_path / "missing") == {}


def test_a_file_that_is_gone_by_now_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, a="1")
    assert file_sync.pack(tmp_path, ["a", "gone"]) == {"a": b"1"}


def test_the_result_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(Path, "write_bytes", lambda path, _: written.append(path.suffix))
    file_sync.unpack(tmp_path, Change({"result.json": b"", "a.h5": b"", "z.log": b""}, []))
    assert written == [".h5", ".log", ".json"]


@pytest.mark.parametrize("name", ["../a", "/tmp/a", "deep/../../a"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    (tmp_path / "a").write_text("mine")
    for change in (Change({name: b"theirs"}, []), Change({}, [name])):
        with pytest.raises(ValueError, match="leads out of"):
            file_sync.unpack(folder, change)
    assert (tmp_path / "a").read_text() == "mine"


def test_a_digest_is_of_names_and_bytes() -> None:
    digest = file_sync.digest({"a": b"1", "b": b"2"})
    assert file_sync.digest({"b": b"2", "a": b"1"}) == digest
    assert len({digest, file_sync.digest({"a": b"2", "b": b"1"}), file_sync.digest({"a": b"1"})}) == 3
