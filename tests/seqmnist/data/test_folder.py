import gzip
import os
import random
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqmnist.config import Data, RawFile
from seqmnist.data import folder as module
from seqmnist.data.folder import deliver_from
from seqmnist.data.raw import SourceError, deliver, missing

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def dots(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))


def folders(folder: Path) -> None:
    """Like the archive of a well-known site: each file in a folder of its own name, and again beside it."""
    for path in list(folder.iterdir()):
        content = path.read_bytes()
        path.unlink()
        path.mkdir()
        (path / path.name).write_bytes(content)


def other_names(folder: Path) -> None:
    for number, path in enumerate(sorted(folder.iterdir())):
        target = folder / "deep" / "er" / f"{number}.bin"
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)


def compressed_under_other_names(folder: Path) -> None:
    for number, path in enumerate(sorted(folder.iterdir())):
        (folder / f"{number}.bin").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def swapped_names(folder: Path) -> None:
    (folder / TRAIN_LABELS).rename(folder / "x")
    (folder / TEST_LABELS).rename(folder / TRAIN_LABELS)
    (folder / "x").rename(folder / TEST_LABELS)


def archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "archive.zip", "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(folder.glob("*ubyte")):
            target.writestr(f"{path.name}/{path.name}", path.read_bytes())
            path.unlink()


def archive_of_compressed(folder: Path) -> None:
    with zipfile.ZipFile(folder / "MNIST", "w") as target:
        for path in sorted(folder.glob("*ubyte")):
            target.writestr(f"raw/{path.name}.gz", gzip.compress(path.read_bytes()))
            path.unlink()


def arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """The four files as Keras names them; they are removed."""
    found = {}
    for name, path in (("x_train", TRAIN_IMAGES), ("y_train", TRAIN_LABELS), ("x_test", TEST_IMAGES)):
        content = (folder / path).read_bytes()
        shape = (-1, 28, 28) if name.startswith("x") else (-1,)
        found[name] = np.frombuffer(content, np.uint8, offset=16 if name.startswith("x") else 8).reshape(shape)
        (folder / path).unlink()
    found["y_test"] = np.frombuffer((folder / TEST_LABELS).read_bytes(), np.uint8, offset=8)
    (folder / TEST_LABELS).unlink()
    return found


def keras(folder: Path) -> None:
    np.savez(folder / "mnist.npz", allow_pickle=False, **arrays(folder))


def compressed_arrays(folder: Path) -> None:
    np.savez_compressed(folder / "mine", *arrays(folder).values())


def each_in_another_form(folder: Path) -> None:
    found = arrays(folder)
    np.save(folder / "images.npy", found["x_train"])
    np.savez(folder / "labels.npz", labels=found["y_train"])
    header = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in found["x_test"].shape)
    (folder / "plain").write_bytes(header + found["x_test"].tobytes())
    with zipfile.ZipFile(folder / "one.zip", "w") as target:
        target.writestr(
            "a/b", bytes([0, 0, 8, 1]) + len(found["y_test"]).to_bytes(4, "big") + found["y_test"].tobytes()
        )


def links(folder: Path) -> None:
    """Files that are links to content elsewhere, and a folder that is a link to itself."""
    (folder.parent / "store").mkdir()
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder.parent / "store" / str(number))
        path.symlink_to(folder.parent / "store" / str(number))
    (folder / "again").symlink_to(folder, target_is_directory=True)


def damaged_first(folder: Path) -> None:
    """Under the configured names stands what is damaged in several ways, under others what is whole."""
    copies = folder / "copies"
    shutil.copytree(folder, copies)
    other_names(copies)
    (folder / TRAIN_IMAGES).write_bytes((folder / TRAIN_IMAGES).read_bytes()[:-1] + b"\0")
    (folder / TRAIN_LABELS).write_bytes(b"")
    (folder / TEST_IMAGES).write_bytes(gzip.compress((folder / TEST_IMAGES).read_bytes())[:-9])
    (folder / TEST_LABELS).write_bytes(b"<!DOCTYPE html>")
    (folder / "broken.zip").write_bytes(b"PK\3\4 and nothing more")
    os.mkfifo(folder / "pipe")


@pytest.mark.parametrize(
    "change",
    [
        dots,
        folders,
        other_names,
        compressed_under_other_names,
        swapped_names,
        archive,
        archive_of_compressed,
        keras,
        compressed_arrays,
        each_in_another_form,
        links,
        damaged_first,
    ],
)
def test_files_are_found_in_any_form(
    tiny_data: Data, raw_copy: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    change(raw_copy)
    (raw_copy / "readme.txt").write_text("about these files")
    deliver_from(raw_copy, tiny_data.files.all(), tmp_path / "raw")
    assert not missing(tmp_path / "raw", tiny_data.files.all())
    assert len(list((tmp_path / "raw").iterdir())) == 4


def test_an_archive_may_be_named_itself(tiny_data: Data, raw_copy: Path, tmp_path: Path) -> None:
    keras(raw_copy)
    deliver_from(raw_copy / "mnist.npz", tiny_data.files.all(), tmp_path / "raw")
    assert not missing(tmp_path / "raw", tiny_data.files.all())


def test_configured_names_are_read_first(
    tiny_data: Data, raw_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else is, where they are right."""
    for name in "abc":
        (raw_copy / name).write_bytes(random.Random(name).randbytes(tiny_data.files.train_images.bytes))
    tried: list[str] = []

    def noting(path: Path, file: RawFile, folder: Path) -> None:
        tried.append(path.name)
        deliver(path, file, folder)

    monkeypatch.setattr(module, "deliver", noting)
    deliver_from(raw_copy, tiny_data.files.all(), tmp_path / "raw")
    assert tried == [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS]


def refuse(data: Data, top: Path, target: Path) -> str:
    """Search a folder that lacks files; return the one line."""
    with pytest.raises(SourceError) as caught:
        deliver_from(top, data.files.all(), target)
    (line,) = str(caught.value).splitlines()
    assert len(line) < 2000
    return line


def test_found_files_are_kept_and_one_line_lists_what_was_there_instead_of_the_others(
    tiny_data: Data, raw_copy: Path, tmp_path: Path
) -> None:
    labels = tiny_data.files.train_labels
    (raw_copy / "sub").mkdir()
    (raw_copy / TRAIN_LABELS).rename(raw_copy / "sub" / "labels")
    (raw_copy / "sub" / "labels").write_bytes(bytes(labels.bytes))
    (raw_copy / "cut.gz").write_bytes(gzip.compress(b"content")[:-3])
    (raw_copy / "broken.zip").write_bytes(b"PK\3\4")
    for number in range(30):
        (raw_copy / f"{number:02}.jpg").write_bytes(b"picture")
    line = refuse(tiny_data, raw_copy, tmp_path / "raw")
    assert line.startswith(f"{TRAIN_LABELS} can't be found there under any name (")
    assert "sub/labels: SHA-256 is " in line
    assert f"expected {labels.sha256}" in line
    assert "cut.gz: broken gzip stream" in line
    assert "broken.zip: broken archive: " in line
    assert "30 of other sizes: 00.jpg (7 bytes), 01.jpg (7 bytes)" in line
    assert line.endswith(", 24 more)")
    assert missing(tmp_path / "raw", tiny_data.files.all()) == [labels]
    assert len(list((tmp_path / "raw").iterdir())) == 3


def touch_when_unpickled(path: Path) -> object:
    class Evil:
        def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
            return Path.touch, (path,)

    return Evil()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda images, _: images.astype(np.int64), "x_train.npy"),
        (lambda images, _: images.astype(np.int8), "x_train.npy: it can't be read: it holds int8, expected uint8"),
        (
            lambda images, _: np.asfortranarray(images),
            "x_train.npy: it can't be read: it holds uint8, expected uint8 row",
        ),
        (lambda images, _: images.reshape(-1, 784), "x_train.npy: it has 47052 bytes, expected 47056"),
        (lambda images, _: images[::-1], "x_train.npy: SHA-256 is"),
        (lambda _, path: np.array([touch_when_unpickled(path)] * 5860, object), "x_train.npy"),
    ],
    ids=["too wide", "signed", "by column", "flat", "other order", "pickled"],
)
def test_other_arrays_are_refused(
    tiny_data: Data, raw_copy: Path, tmp_path: Path, make: Callable[[NDArray[Any], Path], NDArray[Any]], reason: str
) -> None:
    found = arrays(raw_copy)
    found["x_train"] = make(found["x_train"], tmp_path / "touched")
    np.savez(raw_copy / "mnist.npz", allow_pickle=True, **found)
    line = refuse(tiny_data, raw_copy, tmp_path / "raw")
    assert line.startswith(f"{TRAIN_IMAGES} can't be found there under any name (")
    assert f"mnist.npz/{reason}" in line
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("head", [b"\x93NUMPY", b"\x93NUMPY\1\0\xff\xff{", b"\x93NUMPY\1\0\x05\0((((("])
def test_broken_arrays_are_refused(tiny_data: Data, raw_copy: Path, tmp_path: Path, head: bytes) -> None:
    file = tiny_data.files.train_labels
    (raw_copy / file.name).write_bytes(head + bytes(file.bytes))
    assert f"{file.name}: it can't be read: " in refuse(tiny_data, raw_copy, tmp_path / "raw")


def test_locked_and_damaged_members_are_named_and_others_are_found(
    tiny_data: Data, raw_copy: Path, tmp_path: Path
) -> None:
    images, labels = tiny_data.files.test_images, tiny_data.files.test_labels  # the first members
    archive(raw_copy)
    content = bytearray((raw_copy / "archive.zip").read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    second = content.index(b"PK\3\4", 4)
    content[second : second + 2] = b"??"
    (raw_copy / "archive.zip").write_bytes(content)
    line = refuse(tiny_data, raw_copy, tmp_path / "raw")
    assert line.startswith(f"{images.name}, {labels.name} can't be found")
    assert f"archive.zip/{images.name}/{images.name}: it can't be read: File" in line
    assert "is encrypted" in line
    assert f"archive.zip/{labels.name}/{labels.name}: it can't be read: Bad magic number" in line
    assert missing(tmp_path / "raw", tiny_data.files.all()) == [images, labels]


def test_memory_does_not_grow_with_what_archives_hold(tiny_data: Data, raw_copy: Path, tmp_path: Path) -> None:
    arrays(raw_copy)
    np.savez_compressed(raw_copy / "mnist.npz", x_train=np.zeros((1 << 17, 28, 28), np.uint8))
    with zipfile.ZipFile(raw_copy / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(TRAIN_IMAGES, bytes(1 << 26))
        target.writestr("bomb.gz", gzip.compress(bytes(1 << 26)))
    tracemalloc.start()
    try:
        line = refuse(tiny_data, raw_copy, tmp_path / "raw")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert f"bomb.zip/{TRAIN_IMAGES}: it has more than 47056 bytes" in line
    assert peak < 4_000_000


def test_search_is_bounded(tiny_data: Data, raw_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = raw_copy / "1/2/3/4/5/6"
    deep.mkdir(parents=True)
    (raw_copy / TEST_LABELS).rename(deep / TEST_LABELS)
    assert refuse(tiny_data, raw_copy, tmp_path / "raw").startswith(f"{TEST_LABELS} can't be found")
    monkeypatch.setattr(module, "_MAX_ENTRIES", 3)
    assert "only 3 files and folders were looked at" in refuse(tiny_data, raw_copy, tmp_path / "raw")


def test_an_empty_folder_is_named(tiny_data: Data, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refuse(tiny_data, tmp_path / "empty", tmp_path / "raw").endswith("(there is no file)")
