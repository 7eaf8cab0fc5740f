import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import UserError
from accord.files import write_json
from seqmnist.config import Data
from seqmnist.data.splits import NAMES, SUMMARY, Split, load, load_all, read_raw, save, summary

COUNTS = {"train": 50, "validation": 10, "test": 20}


def refuse(data: Data, folder: Path) -> str:
    """Read raw files that must be refused; return the reason."""
    with pytest.raises(UserError) as caught:
        read_raw(folder, data)
    (line,) = str(caught.value).splitlines()
    return line


def accept(data: Data, folder: Path, key: str) -> Data:
    """The data set with the bytes that a file has now as the configured ones."""
    file = getattr(data.files, key)
    content = (folder / file.name).read_bytes()
    file = file.model_copy(update={"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    return data.model_copy(update={"files": data.files.model_copy(update={key: file})})


def test_first_training_images_are_for_validation(tiny_data: Data, tiny_raw: Path) -> None:
    splits = read_raw(tiny_raw, tiny_data)
    assert tuple(splits) == NAMES
    assert {name: len(split) for name, split in splits.items()} == COUNTS
    images = (tiny_raw / tiny_data.files.train_images.name).read_bytes()[16:]
    labels = (tiny_raw / tiny_data.files.train_labels.name).read_bytes()[8:]
    assert splits["validation"].images.tobytes() == images[: 10 * 784]
    assert splits["validation"].labels.tobytes() == labels[:10]
    assert splits["train"].images.tobytes() == images[10 * 784 :]
    assert splits["train"].labels.tobytes() == labels[10:]
    assert splits["test"].images.tobytes() == (tiny_raw / tiny_data.files.test_images.name).read_bytes()[16:]
    assert splits["test"].labels.tobytes() == (tiny_raw / tiny_data.files.test_labels.name).read_bytes()[8:]


def test_splits_are_bytes_in_the_shape_of_images(tiny_data: Data, tiny_raw: Path) -> None:
    for name, split in read_raw(tiny_raw, tiny_data).items():
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.uint8
        assert (split.images.shape, split.labels.shape) == ((COUNTS[name], 28, 28), (COUNTS[name],))


def test_summary_counts_images_and_classes(tiny_data: Data, tiny_raw: Path) -> None:
    splits = read_raw(tiny_raw, tiny_data)
    told = summary(splits)
    assert {name: part["images"] for name, part in told.items()} == COUNTS
    assert {name: part["classes"] for name, part in told.items()} == {
        "train": [5] * 10,
        "validation": [1] * 10,
        "test": [2] * 10,
    }
    assert told["test"]["sha256"] == splits["test"].digest()


def test_classes_without_images_are_counted() -> None:
    split = Split(np.zeros((3, 28, 28), np.uint8), np.array([7, 7, 0], np.uint8))
    assert split.class_counts() == [1, 0, 0, 0, 0, 0, 0, 2, 0, 0]


def test_digest_is_that_of_images_then_labels() -> None:
    images, labels = np.arange(2 * 784).astype(np.uint8).reshape(2, 28, 28), np.array([3, 4], np.uint8)
    assert Split(images, labels).digest() == hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()


def test_digest_is_of_values_not_of_their_place_in_memory() -> None:
    images, labels = np.arange(4 * 784).astype(np.uint8).reshape(4, 28, 28), np.array([3, 4, 5, 6], np.uint8)
    assert Split(images[::2], labels[::2]).digest() == Split(images[::2].copy(), labels[::2].copy()).digest()
    assert Split(np.asfortranarray(images), labels).digest() == Split(images, labels).digest()


@given(place=st.integers(0, 3 * 785 - 1), change=st.integers(1, 255))
def test_digest_changes_with_each_byte(place: int, change: int) -> None:
    before = np.zeros(3 * 785, np.uint8)
    after = before.copy()
    after[place] ^= change
    one, other = (Split(flat[: 3 * 784].reshape(3, 28, 28), flat[3 * 784 :]) for flat in (before, after))
    assert one.digest() != other.digest()


@pytest.mark.parametrize("key", ["train_images", "train_labels", "test_images", "test_labels"])
def test_wrong_byte_in_any_file_is_refused(tiny_data: Data, raw_copy: Path, key: str) -> None:
    file = getattr(tiny_data.files, key)
    content = bytearray((raw_copy / file.name).read_bytes())
    content[-1] ^= 1
    (raw_copy / file.name).write_bytes(content)
    line = refuse(tiny_data, raw_copy)
    assert str(raw_copy / file.name) in line
    assert f"expected {file.sha256}" in line


def test_file_of_another_size_is_not_read(tiny_data: Data, raw_copy: Path) -> None:
    file = tiny_data.files.test_labels
    with (raw_copy / file.name).open("r+b") as raw:
        raw.truncate(1 << 42)  # a hole: it takes no room, but no memory could hold it
    assert f"it has {1 << 42} bytes, expected {file.bytes}" in refuse(tiny_data, raw_copy)


def test_archive_of_arrays_is_refused(tiny_data: Data, tiny_raw: Path, tmp_path: Path) -> None:
    save(tmp_path, read_raw(tiny_raw, tiny_data))
    content = io.BytesIO()
    np.savez(content, images=np.zeros((20, 28, 28), np.uint8))
    (tmp_path / "test.images.npy").write_bytes(content.getvalue())
    with pytest.raises(UserError, match="the test split can't be read"):
        load(tmp_path, "test")


def test_missing_file_is_refused_with_what_to_do(tiny_data: Data, raw_copy: Path) -> None:
    path = raw_copy / tiny_data.files.test_labels.name
    path.unlink()
    assert refuse(tiny_data, raw_copy).startswith(f"{path} is missing: run `dvc repro`")


def test_file_that_is_no_idx_is_refused(tiny_data: Data, raw_copy: Path) -> None:
    path = raw_copy / tiny_data.files.train_images.name
    path.write_bytes(b"<!DOCTYPE html>" * 10)
    line = refuse(accept(tiny_data, raw_copy, "train_images"), raw_copy)
    assert line.startswith(f"{path} is no IDX file: ")


@pytest.mark.parametrize("key", ["train_labels", "test_labels"])
def test_label_that_is_no_digit_is_refused(tiny_data: Data, raw_copy: Path, key: str) -> None:
    path = raw_copy / getattr(tiny_data.files, key).name
    content = bytearray(path.read_bytes())
    content[-3] = 10
    path.write_bytes(content)
    line = refuse(accept(tiny_data, raw_copy, key), raw_copy)
    assert line == f"{path.name}: label 10 is impossible: labels are 0 to 9"


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("difference", [-1, 1], ids=["fewer", "more"])
def test_other_number_of_images_than_configured_is_refused(
    tiny_data: Data, tiny_raw: Path, split: str, difference: int
) -> None:
    count = getattr(tiny_data.counts, split) + difference
    counts = tiny_data.counts.model_copy(update={split: count})
    line = refuse(tiny_data.model_copy(update={"counts": counts}), tiny_raw)
    assert f"configured is ({count}, 28, 28)" in line


def test_other_number_of_labels_than_images_is_refused(tiny_data: Data, raw_copy: Path) -> None:
    path = raw_copy / tiny_data.files.test_labels.name
    path.write_bytes(bytes.fromhex("00000801 00000013") + bytes(19))
    line = refuse(accept(tiny_data, raw_copy, "test_labels"), raw_copy)
    assert line == f"{path.name}: it has 19 labels, configured are 20"


def test_images_of_another_size_are_refused(tiny_data: Data, raw_copy: Path) -> None:
    path = raw_copy / tiny_data.files.test_images.name
    path.write_bytes(bytes.fromhex("00000803 00000014 00000031 00000010") + bytes(20 * 784))
    line = refuse(accept(tiny_data, raw_copy, "test_images"), raw_copy)
    assert line == f"{path.name}: its shape is (20, 49, 16), configured is (20, 28, 28)"


def test_saved_splits_are_loaded(tiny_data: Data, tiny_raw: Path, tmp_path: Path) -> None:
    splits = read_raw(tiny_raw, tiny_data)
    save(tmp_path, splits)
    loaded = {name: load(tmp_path, name) for name in NAMES}
    assert summary(loaded) == summary(splits)
    for split in loaded.values():
        assert split.images.dtype == np.uint8
        assert split.images.shape == (len(split), 28, 28)


def test_saved_files_have_the_same_bytes_each_time(tiny_data: Data, tiny_raw: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        save(folder, read_raw(tiny_raw, tiny_data))
    one, other = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert one == other
    assert sorted(one) == sorted(f"{name}.{part}.npy" for name in NAMES for part in ("images", "labels"))


def npy(array: Any, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        npy(np.zeros((50, 28, 28), np.uint8))[:-1],
        npy(np.zeros((50, 28, 28), np.uint8))[:20],
        npy(np.array([{"a": 1}], dtype=object), allow_pickle=True),
        npy(np.zeros((50, 28, 28), np.uint8)).replace(b": False,", b":}False,"),
        npy(np.zeros((2, 9, 9), np.uint8)).replace(b"(2, 9, 9), }" + b" " * 9, b"(99999999999, 9, 9), }"[:21]),
        b"PK\x03\x04",
    ],
    ids=["empty", "garbage", "cut", "header cut", "pickled objects", "header", "hostile shape", "archive"],
)
@pytest.mark.parametrize("part", ["images", "labels"])
def test_broken_array_is_refused(tiny_data: Data, tiny_raw: Path, tmp_path: Path, part: str, content: bytes) -> None:
    save(tmp_path, read_raw(tiny_raw, tiny_data))
    (tmp_path / f"train.{part}.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"the train split can't be read .*: run `seqmnist check --repair`") as caught:
        load(tmp_path, "train")
    assert len(str(caught.value).splitlines()) == 1
    assert len(load(tmp_path, "test")) == 20


@pytest.mark.parametrize(
    "array",
    [np.zeros((50, 28, 28)), np.zeros((50, 8, 28), np.uint8), np.zeros((49, 28, 28), np.uint8)],
    ids=["dtype", "shape", "number"],
)
def test_other_array_than_was_saved_is_refused(tiny_data: Data, tiny_raw: Path, tmp_path: Path, array: Any) -> None:
    save(tmp_path, read_raw(tiny_raw, tiny_data))
    np.save(tmp_path / "train.images.npy", array)
    with pytest.raises(UserError, match="the train split has another shape or type"):
        load(tmp_path, "train")


@pytest.mark.parametrize("part", ["images", "labels"])
def test_missing_array_is_refused(tiny_data: Data, tiny_raw: Path, tmp_path: Path, part: str) -> None:
    save(tmp_path, read_raw(tiny_raw, tiny_data))
    (tmp_path / f"test.{part}.npy").unlink()
    with pytest.raises(UserError, match=rf"test\.{part}\.npy is missing: run `dvc repro`"):
        load(tmp_path, "test")


def save_with_summary(data: Data, raw: Path, folder: Path) -> None:
    """Save splits and their summary, as the stage preprocess does."""
    splits = read_raw(raw, data)
    save(folder, splits)
    write_json(folder / SUMMARY, summary(splits))


def test_unchanged_splits_are_all_loaded(tiny_data: Data, tiny_raw: Path, tmp_path: Path) -> None:
    save_with_summary(tiny_data, tiny_raw, tmp_path)
    loaded, computed = load_all(tmp_path)
    assert summary(loaded) == computed == summary(read_raw(tiny_raw, tiny_data))


def test_each_split_is_hashed_once(
    tiny_data: Data, tiny_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_with_summary(tiny_data, tiny_raw, tmp_path)
    digest, hashed = Split.digest, []

    def counted(split: Split) -> str:
        hashed.append(len(split))
        return digest(split)

    monkeypatch.setattr(Split, "digest", counted)
    loaded, _ = load_all(tmp_path)
    assert hashed == [len(split) for split in loaded.values()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", ["images", "labels"])
def test_one_changed_value_is_noticed(tiny_data: Data, tiny_raw: Path, tmp_path: Path, name: str, part: str) -> None:
    save_with_summary(tiny_data, tiny_raw, tmp_path)
    path = tmp_path / f"{name}.{part}.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"the {name} split is not the one .*: run `seqmnist check --repair`"):
        load_all(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"[1]", b"7", b"\xff"], ids=["missing", "empty", "list", "7", "bytes"])
def test_digests_that_cannot_be_read_are_refused(
    tiny_data: Data, tiny_raw: Path, tmp_path: Path, content: bytes | None
) -> None:
    save_with_summary(tiny_data, tiny_raw, tmp_path)
    (tmp_path / SUMMARY).unlink() if content is None else (tmp_path / SUMMARY).write_bytes(content)
    with pytest.raises(UserError, match=rf"{SUMMARY} .*: run `(dvc repro|seqmnist check --repair)`"):
        load_all(tmp_path)
