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
from seqmnist.data.pickled import rebuild
from seqmnist.data.raw import SourceError

ToPickle = Callable[[object], bytes]


def rebuild_bytes(content: bytes, files: list[RawFile], folder: Path) -> dict[str, Path]:
    path = folder / "arrays.pkl.gz"
    path.write_bytes(content)
    rebuild(path, files, folder)
    return {file.name: folder / file.name for file in files}


def refuse(content: bytes, data: Data, folder: Path) -> str:
    """Rebuild from a pickle that must be refused; return the reason."""
    with pytest.raises(SourceError) as caught:
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
def test_other_names_of_numpy_are_refused(tiny_data: Data, tmp_path: Path, name: str) -> None:
    module, function = name.split()
    content = (
        b"\x80\x04" + b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, function)) + b"\x93."
    )
    assert f"it names {module}.{function}" in refuse(gzip.compress(content), tiny_data, tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        gzip.decompress,
        lambda good: good[:-1000],
        lambda _: gzip.compress(b""),
        lambda _: gzip.compress(b"garbage"),
        lambda good: gzip.compress(gzip.decompress(good)[:-100]),
        lambda _: b"<!DOCTYPE html>",
    ],
    ids=["empty", "not compressed", "gz cut", "empty gz", "garbage", "pickle cut", "HTML page"],
)
def test_broken_file_is_refused(
    tiny_data: Data, tiny_pickle: bytes, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    assert refuse(spoil(tiny_pickle), tiny_data, tmp_path).startswith("it can't be read: ")


RECONSTRUCT, NDARRAY, DTYPE = b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n"


@pytest.mark.parametrize("target", [RECONSTRUCT, NDARRAY, DTYPE])
@pytest.mark.parametrize("state", [b"N", b"(K\x01K\x02t", b"U\x08__call__", b"(U\x01aU\x01bt", b"NN\x86"])
def test_a_pickle_sets_no_state_on_named_objects(tiny_data: Data, tmp_path: Path, target: bytes, state: bytes) -> None:
    before = dict(vars(np.ndarray)), dict(vars(np.dtype))
    refuse(gzip.compress(target + state + b"b."), tiny_data, tmp_path)
    assert (dict(vars(np.ndarray)), dict(vars(np.dtype))) == before


def test_arrays_stored_otherwise_give_the_same_files(tiny_data: Data, to_pickle_gz: ToPickle, tmp_path: Path) -> None:
    images = (np.arange(2 * 784).reshape(2, 784) % 256 / 256).astype(np.float32)
    written = []
    for stored in (images, np.asfortranarray(images), images.astype(">f4")):
        pair = stored, LABELS
        paths = rebuild_bytes(to_pickle_gz((pair, pair, pair)), tiny_data.files.all(), tmp_path)
        written.append([path.read_bytes() for path in paths.values()])
    assert written[0] == written[1] == written[2]


@given(content=st.binary(max_size=60))
def test_a_file_without_a_gzip_stream_is_refused(
    tiny_data: Data, tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    with pytest.raises(SourceError):
        rebuild_bytes(b"\x1f\x8b" + content, tiny_data.files.all(), tmp_path_factory.getbasetemp())
