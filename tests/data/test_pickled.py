import contextlib
import gzip
import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqmnist.config import Data, RawFile
from seqmnist.data.idx import parse_idx
from seqmnist.data.pickled import LARGEST, PickleError, rebuild

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


def peak_of_refusal(content: bytes, data: Data, folder: Path) -> int:
    """The largest memory that Python had allocated meanwhile, in bytes."""
    tracemalloc.start()
    try:
        refuse(content, data, folder)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


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


# Operations with what follows them; `R` calls. What is named is at hand, as in a pickle of arrays.
RECONSTRUCT, NDARRAY, DTYPE = b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n"
BILLION = b"\x8a\x04" + (10**9).to_bytes(4, "little")


@pytest.mark.parametrize(
    "operations",
    [
        NDARRAY + b"(" + BILLION + b"tU\x01O\x86R.",
        RECONSTRUCT + b"(" + NDARRAY + BILLION + b"\x85U\x01OtR.",
        RECONSTRUCT + b")R(K\x01" + BILLION + b"\x85" + DTYPE + b"U\x02f8\x85R\x89U\x00tb.",
        DTYPE + b"U\x0bU1000000000\x85R.",
        DTYPE + b"U\x02O8\x85R.",
        b"Nr" + (1 << 28).to_bytes(4, "little") + b".",
        b"(" + b"l0" * 20_000 + b"N.",
        b"N" + b"\x85" * 1_000_000 + b".",
        b"]" * 1_000_000 + b".",
        b"\x96" + (1 << 33).to_bytes(8, "little"),
        b"\x95" + (1 << 33).to_bytes(8, "little") + b"N.",
        b"I" + b"9" * 1_000_000 + b"\n.",
        b")" + b"q\x01h\x01\x86" * 1000 + b"}q\x02h\x01Ns.",
        b"\x8b" + (1 << 30).to_bytes(4, "little"),
    ],
    ids=[
        "array of objects",
        "rebuilt array of objects",
        "array of few bytes",
        "type of long texts",
        "type of objects",
        "table of remembered objects",
        "lists without a mark",
        "tuples in tuples",
        "lists",
        "long array of bytes",
        "long frame",
        "long number",
        "dictionary of tuples in tuples",
        "long integer",
    ],
)
def test_what_asks_for_memory_or_time_gets_little(tiny_data: Data, tmp_path: Path, operations: bytes) -> None:
    content = gzip.compress(b"\x80\x03" + operations, compresslevel=1)
    assert peak_of_refusal(content, tiny_data, tmp_path) < 10_000_000


@pytest.mark.parametrize(
    "operations",
    [b"Pname\n.", b"NQ.", b"\x82\x01.", b"(ios\nsystem\n.", b"(K\x01o.", b"N)\x81.", b"\x97.", b"}.", b"\x8f."],
    ids=["persistent text", "persistent", "extension", "instance", "object", "new object", "buffer", "dict", "set"],
)
def test_operations_that_arrays_do_not_need_are_refused(tiny_data: Data, tmp_path: Path, operations: bytes) -> None:
    assert "an operation that arrays don't need" in refuse(gzip.compress(operations), tiny_data, tmp_path)


def test_bytes_that_are_not_there_get_no_more_memory_than_mnist_needs(tiny_data: Data, tmp_path: Path) -> None:
    content = gzip.compress(b"\x80\x04\x8e" + (1 << 62).to_bytes(8, "little"))
    assert peak_of_refusal(content, tiny_data, tmp_path) < 1.1 * LARGEST


@pytest.mark.parametrize("target", [RECONSTRUCT, NDARRAY, DTYPE])
@pytest.mark.parametrize("state", [b"N", b"(K\x01K\x02t", b"U\x08__call__", b"(U\x01aU\x01bt", b"NN\x86"])
def test_no_state_is_given_to_what_is_named(tiny_data: Data, tmp_path: Path, target: bytes, state: bytes) -> None:
    before = dict(vars(np.ndarray)), dict(vars(np.dtype))
    refuse(gzip.compress(target + state + b"b."), tiny_data, tmp_path)
    assert (dict(vars(np.ndarray)), dict(vars(np.dtype))) == before


def test_big_endian_numbers_are_no_others(tiny_data: Data, to_pickle_gz: ToPickle, tmp_path: Path) -> None:
    pair = IMAGES.astype(">f4"), LABELS
    assert "three pairs" in refuse(to_pickle_gz((pair, pair, pair)), tiny_data, tmp_path)


def test_arrays_stored_by_columns_are_refused(tiny_data: Data, to_pickle_gz: ToPickle, tmp_path: Path) -> None:
    pair = np.asfortranarray(np.ones((2, 784), np.float32)), LABELS
    assert "column by column" in refuse(to_pickle_gz((pair, pair, pair)), tiny_data, tmp_path)


SMALL = pickle.dumps((PAIR, PAIR, PAIR), 3).replace(b"numpy._core.", b"numpy.core.")
# Where, how many bytes are cut and what is put there, in the first array's operations before its values.
CHANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 2), st.binary(max_size=3)), min_size=1, max_size=4)


@pytest.mark.parametrize("pixel", [np.nan, np.inf, -1.0, 1.0, 3e38], ids=str)
def test_pixels_that_are_no_bytes_are_refused(
    tiny_data: Data, to_pickle_gz: ToPickle, tmp_path: Path, pixel: float
) -> None:
    images, labels = np.full((2, 784), pixel, np.float32), np.zeros(2, np.int64)
    assert "outside 0 to 255" in refuse(to_pickle_gz(((images, labels),) * 3), tiny_data, tmp_path)


@pytest.mark.parametrize("label", [-1, 256])
def test_labels_that_are_no_bytes_are_refused(
    tiny_data: Data, to_pickle_gz: ToPickle, tmp_path: Path, label: int
) -> None:
    images, labels = np.zeros((2, 784), np.float32), np.full(2, label)
    assert "outside 0 to 255" in refuse(to_pickle_gz(((images, labels),) * 3), tiny_data, tmp_path)


@given(changes=CHANGES)
def test_a_changed_pickle_is_read_or_refused(
    tiny_data: Data, tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int, bytes]]
) -> None:
    content = bytearray(SMALL)
    for place, cut, new in changes:
        content[place : place + cut] = new
    with contextlib.suppress(PickleError):
        rebuild_bytes(gzip.compress(content, 1), tiny_data.files.all(), tmp_path_factory.getbasetemp())


OPERATIONS = st.sampled_from(
    [bytes([code]) for code in range(256)] + [RECONSTRUCT, NDARRAY, DTYPE, b"K\x01", b"U\x02f4"]
)


@given(content=st.lists(OPERATIONS | st.binary(max_size=4), max_size=40).map(b"".join))
def test_any_operations_are_refused(tiny_data: Data, tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    with pytest.raises(PickleError) as caught:
        rebuild_bytes(gzip.compress(content + b"."), tiny_data.files.all(), tmp_path_factory.getbasetemp())
    assert len(str(caught.value).splitlines()) == 1


@given(content=st.binary(max_size=60))
def test_what_is_no_gzip_stream_is_refused(
    tiny_data: Data, tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    with pytest.raises(PickleError):
        rebuild_bytes(b"\x1f\x8b" + content, tiny_data.files.all(), tmp_path_factory.getbasetemp())
