import contextlib
import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqmnist.config import Data, RawFile
from seqmnist.data.raw import WrongBytesError, deliver, is_verified, missing, remove_others

FILES = ["train_images", "train_labels", "test_images", "test_labels"]


def raw_file(data: Data, key: str) -> RawFile:
    file: RawFile = getattr(data.files, key)
    return file


def refuse(candidate: Path, file: RawFile, folder: Path) -> str:
    """Deliver a candidate that must be refused; return the reason."""
    with pytest.raises(WrongBytesError) as caught:
        deliver(candidate, file, folder)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{candidate.name}: ")
    return line


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
@pytest.mark.parametrize("key", FILES)
def test_right_file_is_delivered(
    tiny_data: Data, tiny_raw: Path, tmp_path: Path, key: str, pack: Callable[[bytes], bytes]
) -> None:
    file = raw_file(tiny_data, key)
    content = (tiny_raw / file.name).read_bytes()
    candidate = tmp_path / "whatever it is called"
    candidate.write_bytes(pack(content))
    deliver(candidate, file, tmp_path / "new" / "folder")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "new" / "folder").iterdir()] == [
        (file.name, content)
    ]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
@pytest.mark.parametrize("place", [0, 100, -1], ids=["first", "hundredth", "last"])
@pytest.mark.parametrize("key", FILES)
def test_one_wrong_byte_is_refused(
    tiny_data: Data, tiny_raw: Path, tmp_path: Path, key: str, place: int, pack: Callable[[bytes], bytes]
) -> None:
    file = raw_file(tiny_data, key)
    content = bytearray((tiny_raw / file.name).read_bytes())
    content[place % len(content)] ^= 1
    candidate = tmp_path / "candidate"
    candidate.write_bytes(pack(bytes(content)))
    folder = tmp_path / "raw"
    folder.mkdir()
    assert f"expected {file.sha256}" in refuse(candidate, file, folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda _: b"", "it has 0 bytes, expected 47056"),
        (lambda plain: plain[:-1], "it has 47055 bytes, expected 47056"),
        (lambda plain: plain + b"\0", "it has more than 47056 bytes, expected 47056"),
        (lambda plain: gzip.compress(plain[:-1]), "it has 47055 bytes, expected 47056"),
        (lambda plain: gzip.compress(plain + b"\0"), "it has more than 47056 bytes, expected 47056"),
        (lambda plain: gzip.compress(gzip.compress(plain)), "bytes, expected 47056"),
        (lambda plain: gzip.compress(plain)[:1000], "broken gzip stream"),
        (lambda plain: gzip.compress(plain)[:-1], "broken gzip stream"),
        (lambda plain: gzip.compress(plain)[:2], "broken gzip stream"),
        (lambda plain: gzip.compress(plain) + b"garbage", "broken gzip stream"),
        (lambda plain: gzip.compress(plain)[:-8] + bytes(8), "broken gzip stream"),
        (lambda plain: gzip.compress(plain)[:20] + bytes(1000), "broken gzip stream"),
        (lambda _: b"<!DOCTYPE html><title>Sign in</title>", "it has 37 bytes, expected 47056"),
    ],
    ids=[
        "empty",
        "too short",
        "too long",
        "gz too short",
        "gz too long",
        "gz twice",
        "gz cut",
        "gz without its last byte",
        "gz magic alone",
        "gz with trailing garbage",
        "gz with a wrong checksum",
        "gz of garbage",
        "HTML page",
    ],
)
def test_wrong_file_is_refused_and_nothing_left(
    tiny_data: Data, tiny_raw: Path, tmp_path: Path, spoil: Callable[[bytes], bytes], reason: str
) -> None:
    file = tiny_data.files.train_images
    candidate = tmp_path / "candidate"
    candidate.write_bytes(spoil((tiny_raw / file.name).read_bytes()))
    folder = tmp_path / "raw"
    folder.mkdir()
    assert reason in refuse(candidate, file, folder)
    assert list(folder.iterdir()) == []


def test_labels_under_the_name_of_images_are_refused(tiny_data: Data, raw_copy: Path, tmp_path: Path) -> None:
    images, labels = tiny_data.files.test_images, tiny_data.files.test_labels
    (raw_copy / labels.name).replace(raw_copy / images.name)
    (tmp_path / "raw").mkdir()
    refuse(raw_copy / images.name, images, tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []


def test_file_of_the_right_size_for_another_is_refused(tiny_data: Data, tiny_raw: Path, tmp_path: Path) -> None:
    labels = tiny_data.files.train_labels
    candidate = tmp_path / labels.name
    candidate.write_bytes((tiny_raw / tiny_data.files.train_images.name).read_bytes()[: labels.bytes])
    assert "SHA-256" in refuse(candidate, labels, tmp_path / "raw")


def test_bomb_is_decompressed_no_further_than_the_size_of_the_file(tiny_data: Data, tmp_path: Path) -> None:
    file = tiny_data.files.test_labels
    bomb = tmp_path / "bomb"
    bomb.write_bytes(gzip.compress(bytes(1 << 24), compresslevel=1) + b"garbage")  # an error for who reads so far
    (tmp_path / "raw").mkdir()
    assert f"it has more than {file.bytes} bytes" in refuse(bomb, file, tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
def test_memory_does_not_grow_with_the_candidate(
    tiny_data: Data, tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    candidate = tmp_path / "candidate"
    candidate.write_bytes(pack(bytes(1 << 26)))
    tracemalloc.start()
    try:
        refuse(candidate, tiny_data.files.train_images, tmp_path / "raw")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000


@given(
    content=st.binary(max_size=80),
    magic=st.sampled_from(
        [b"", b"\x1f\x8b", b"\x1f\x8b\x08", b"\x1f\x8b\x08\x1c", b"\x93NUMPY", b"\x93NUMPY\1\0", b"\x93NUMPY\1\0\x08\0"]
    ),
)
def test_any_bytes_are_refused(
    tiny_data: Data, tmp_path_factory: pytest.TempPathFactory, content: bytes, magic: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any bytes"
    folder.mkdir(exist_ok=True)
    candidate = folder / "candidate"
    candidate.write_bytes(magic + content)
    refuse(candidate, tiny_data.files.test_labels, folder)
    assert list(folder.iterdir()) == [candidate]


@given(data=st.data())
def test_a_changed_gzip_stream_gives_the_right_file_or_none(
    tiny_data: Data, tiny_raw: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = tiny_data.files.test_labels
    content = bytearray(gzip.compress((tiny_raw / file.name).read_bytes()))
    place = data.draw(st.integers(0, len(content)))
    content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    folder = tmp_path_factory.mktemp("changed")
    (folder / "candidate").write_bytes(content)
    with contextlib.suppress(WrongBytesError):
        deliver(folder / "candidate", file, folder)
        assert is_verified(folder / file.name, file)


def test_bad_candidate_does_not_touch_a_verified_file(tiny_data: Data, raw_copy: Path, tmp_path: Path) -> None:
    file = tiny_data.files.test_labels
    before = (raw_copy / file.name).stat(), (raw_copy / file.name).read_bytes()
    bad = tmp_path / "bad"
    bad.write_bytes(b"bad")
    refuse(bad, file, raw_copy)
    after = (raw_copy / file.name).stat(), (raw_copy / file.name).read_bytes()
    assert (before[0].st_ino, before[0].st_mtime_ns, before[1]) == (after[0].st_ino, after[0].st_mtime_ns, after[1])
    assert len(list(raw_copy.iterdir())) == 4


def test_unverified_file_is_replaced(tiny_data: Data, tiny_raw: Path, raw_copy: Path) -> None:
    file = tiny_data.files.test_labels
    (raw_copy / file.name).write_bytes(b"bad")
    deliver(tiny_raw / file.name, file, raw_copy)
    assert is_verified(raw_copy / file.name, file)


def test_missing_names_files_that_are_absent_or_have_other_bytes(tiny_data: Data, raw_copy: Path) -> None:
    assert missing(raw_copy, tiny_data.files.all()) == []
    (raw_copy / tiny_data.files.train_labels.name).unlink()
    content = bytearray((raw_copy / tiny_data.files.test_images.name).read_bytes())
    content[-1] ^= 1
    (raw_copy / tiny_data.files.test_images.name).write_bytes(content)
    assert missing(raw_copy, tiny_data.files.all()) == [tiny_data.files.train_labels, tiny_data.files.test_images]


def test_folder_under_the_name_of_a_file_is_not_verified(tiny_data: Data, tmp_path: Path) -> None:
    assert not is_verified(tmp_path, tiny_data.files.test_labels)


def test_remove_others_keeps_the_data_set_and_folders(tiny_data: Data, raw_copy: Path) -> None:
    kept = sorted(path.name for path in raw_copy.iterdir())
    (raw_copy / "folder").mkdir()
    for name in ("emnist", ".train-images-idx3-ubyte.ab12cd"):
        (raw_copy / name).write_bytes(b"left")
    assert remove_others(raw_copy, tiny_data.files.all()) == [".train-images-idx3-ubyte.ab12cd", "emnist"]
    assert sorted(path.name for path in raw_copy.iterdir()) == sorted([*kept, "folder"])
    assert missing(raw_copy, tiny_data.files.all()) == []
