import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqmnist.config import Data, RawFile
from seqmnist.data.idx import parse_idx
from seqmnist.data.pickled import PickleError, rebuild

ToPickle = Callable[[object], bytes]


def rebuild_bytes(content: bytes, files: list[RawFile], folder: Path) -> dict[str, Path]:
    path = folder / "arrays.pkl.gz"
    path.write_bytes(content)
    return rebuild(path, files, folder)


def refuse(content: bytes, data: Data, folder: Path) -> str:
    """Rebuild from a pickle that must be refused; return the reason."""
    with pytest.raises(PickleError) as caught:
        rebuild_bytes(content, data.files.all(), folder)
    (line,) = str(caught.value).splitlines()
    return line


def test_rebuilt_files_are_the_raw_files(tiny_data: Data, tiny_raw: Path, tiny_pickle: bytes, tmp_path: Path) -> None:
    paths = rebuild_bytes(tiny_pickle, tiny_data.files.all(), tmp_path)
    assert {name: path.read_bytes() for name, path in paths.items()} == {
        path.name: path.read_bytes() for path in tiny_raw.iterdir()
    }


def test_each_pixel_value_survives(tiny_data: Data, to_pickle_gz: ToPickle, tmp_path: Path) -> None:
    pixels = np.arange(1 << 8).repeat(784).reshape(-1, 784)
    images = (pixels / 256).astype(np.float32)
    pair = images, np.arange(1 << 8)
    paths = rebuild_bytes(to_pickle_gz((pair, pair, pair)), tiny_data.files.all(), tmp_path)
    assert np.array_equal(parse_idx(paths[tiny_data.files.test_images.name].read_bytes(), 3).reshape(-1, 784), pixels)


def test_many_images_keep_their_order(tiny_data: Data, to_pickle_gz: ToPickle, tmp_path: Path) -> None:
    count = 5_001
    images = np.zeros((count, 784), np.float32)
    images[:, 0] = np.arange(count) % 256 / 256
    train = images, np.arange(count) % 10
    others = images[:1], np.zeros(1, np.int64)
    paths = rebuild_bytes(to_pickle_gz((train, others, others)), tiny_data.files.all(), tmp_path)
    rebuilt = parse_idx(paths[tiny_data.files.train_images.name].read_bytes(), 3)
    assert rebuilt[:, 0, 0].tolist() == [*(number % 256 for number in range(count)), 0]
    assert rebuilt.sum(dtype=np.int64) == sum(number % 256 for number in range(count))


IMAGES = np.zeros((2, 784), np.float32)
LABELS = np.zeros(2, np.int64)
PAIR = IMAGES, LABELS


@pytest.mark.parametrize(
    "value",
    [
        ((IMAGES.astype(np.float64), LABELS), PAIR, PAIR),
        ((IMAGES.astype(np.uint8), LABELS), PAIR, PAIR),
        (PAIR, (IMAGES.reshape(2, 28, 28), LABELS), PAIR),
        (PAIR, PAIR, (IMAGES[:, :-1], LABELS)),
        (PAIR, PAIR, (IMAGES[:1], LABELS)),
        ((IMAGES, LABELS.astype(np.int32)), PAIR, PAIR),
        ((IMAGES, LABELS.reshape(2, 1)), PAIR, PAIR),
        ((IMAGES, LABELS.tolist()), PAIR, PAIR),
        ((IMAGES, LABELS, LABELS), PAIR, PAIR),
        (PAIR, PAIR),
        [PAIR, PAIR, PAIR],
        "MNIST",
        None,
    ],
    ids=[
        "float64 images",
        "uint8 images",
        "square images",
        "783 pixels",
        "fewer images than labels",
        "int32 labels",
        "labels in a column",
        "list of labels",
        "triple",
        "two pairs",
        "list of pairs",
        "text",
        "nothing",
    ],
)
def test_other_arrays_are_refused_and_nothing_written(
    tiny_data: Data, to_pickle_gz: ToPickle, tmp_path: Path, value: object
) -> None:
    assert "three pairs" in refuse(to_pickle_gz(value), tiny_data, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["arrays.pkl.gz"]


class Call:
    """Pickled, a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("function", ["system", "eval"])
def test_no_code_is_run(tiny_data: Data, tmp_path: Path, function: str, protocol: int) -> None:
    marker = tmp_path / "marker"
    call = Call(os.system, f"touch '{marker}'") if function == "system" else Call(eval, f"open({str(marker)!r}, 'w')")
    content = pickle.dumps(((call, LABELS), PAIR, PAIR), protocol)
    with gzip.open(tmp_path / "proof.gz", "wb") as proof:
        proof.write(pickle.dumps(call, protocol))
    result = pickle.loads(gzip.decompress((tmp_path / "proof.gz").read_bytes()))
    if function == "eval":
        result.close()
    assert marker.exists(), "the pickle does nothing even where nothing is forbidden"
    marker.unlink()

    reason = refuse(gzip.compress(content), tiny_data, tmp_path)
    assert not marker.exists()
    assert function in reason
    assert "no NumPy array constructor" in reason


@pytest.mark.parametrize(
    "name", ["numpy load", "numpy.core.multiarray dtype", "numpy _reconstruct", "numpy ndarray.dump", "io open"]
)
def test_nothing_else_of_numpy_is_found(tiny_data: Data, tmp_path: Path, name: str) -> None:
    module, function = name.split()
    content = (
        b"\x80\x04" + b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, function)) + b"\x93."
    )
    assert f"it names {module}.{function}" in refuse(gzip.compress(content), tiny_data, tmp_path)


def test_bomb_is_refused(tiny_data: Data, tmp_path: Path) -> None:
    chunk = b"B" + (1 << 20).to_bytes(4, "little") + bytes(1 << 20) + b"0"  # a string of 1 MiB, dropped again
    members = [gzip.compress(b"\x80\x03"), *[gzip.compress(chunk, compresslevel=1)] * 300, gzip.compress(b"N.")]
    assert "decompresses to more than" in refuse(b"".join(members), tiny_data, tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        gzip.decompress,
        lambda good: good[:-1000],
        lambda _: gzip.compress(b""),
        lambda good: gzip.compress(gzip.decompress(good)[:-100]),
        lambda _: b"<!DOCTYPE html>",
    ],
    ids=["empty", "not compressed", "gz cut", "empty gz", "pickle cut", "HTML page"],
)
def test_broken_file_is_refused(
    tiny_data: Data, tiny_pickle: bytes, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    assert refuse(spoil(tiny_pickle), tiny_data, tmp_path).startswith("it can't be read: ")


@given(content=st.binary(max_size=100))
def test_garbage_is_refused(tiny_data: Data, tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    with pytest.raises(PickleError):
        rebuild_bytes(gzip.compress(content), tiny_data.files.all(), tmp_path_factory.getbasetemp())
