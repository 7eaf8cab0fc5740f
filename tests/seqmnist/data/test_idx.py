import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqmnist.data.idx import IdxError, idx_header, parse_idx

IMAGES = bytes.fromhex("00000803 00000002 00000001 00000003 000102 fdfeff")  # 2 images of 1 x 3 pixels
LABELS = bytes.fromhex("00000801 00000004 07020100")


def test_images_by_hand() -> None:
    array = parse_idx(IMAGES, 3)
    assert array.dtype == np.uint8
    assert array.tolist() == [[[0, 1, 2]], [[253, 254, 255]]]


def test_labels_by_hand() -> None:
    assert parse_idx(LABELS, 1).tolist() == [7, 2, 1, 0]


def test_header_by_hand() -> None:
    assert idx_header((60_000, 28, 28)) == bytes.fromhex("00000803 0000ea60 0000001c 0000001c")
    assert idx_header((10_000,)) == bytes.fromhex("00000801 00002710")


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, tuple[int, ...], bytes]:
    """A file, its shape and its values."""
    shape = tuple(draw(st.lists(st.integers(0, 5), min_size=1, max_size=4)))
    size = math.prod(shape)
    values = draw(st.binary(min_size=size, max_size=size))
    return idx_header(shape) + values, shape, values


@given(file=files())
def test_what_is_written_is_read(file: tuple[bytes, tuple[int, ...], bytes]) -> None:
    content, shape, values = file
    array = parse_idx(content, len(shape))
    assert array.shape == shape
    assert array.tobytes() == values


@given(file=files(), data=st.data())
def test_any_truncation_is_refused(file: tuple[bytes, tuple[int, ...], bytes], data: st.DataObject) -> None:
    content, shape, _ = file
    length = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(IdxError):
        parse_idx(content[:length], len(shape))


@given(file=files(), more=st.binary(min_size=1))
def test_any_extension_is_refused(file: tuple[bytes, tuple[int, ...], bytes], more: bytes) -> None:
    content, shape, _ = file
    with pytest.raises(IdxError, match="values, its header says"):
        parse_idx(content + more, len(shape))


@pytest.mark.parametrize("length", range(len(IMAGES)))
def test_images_cut_anywhere_are_refused(length: int) -> None:
    with pytest.raises(IdxError):
        parse_idx(IMAGES[:length], 3)


@pytest.mark.parametrize(
    ("place", "byte", "reason"),
    [
        (0, 0x1F, "starts with 1f 00 08 03"),
        (1, 0x01, "starts with 00 01 08 03"),
        (2, 0x0D, "type code is 0x0d, expected 0x08"),
        (2, 0x00, "type code is 0x00, expected 0x08"),
        (3, 0x02, "has 2 dimensions, expected 3"),
        (7, 0x03, "holds 6 values, its header says 3 x 1 x 3"),
        (4, 0x01, "holds 6 values, its header says 16777218 x 1 x 3"),
    ],
    ids=["first byte", "second byte", "floats", "no type", "dimensions", "size", "little-endian size"],
)
def test_wrong_header_is_refused(place: int, byte: int, reason: str) -> None:
    content = bytearray(IMAGES)
    content[place] = byte
    with pytest.raises(IdxError, match=reason):
        parse_idx(bytes(content), 3)


@pytest.mark.parametrize(("content", "dimensions"), [(IMAGES, 1), (LABELS, 3)], ids=["images", "labels"])
def test_images_and_labels_are_no_substitute_for_each_other(content: bytes, dimensions: int) -> None:
    with pytest.raises(IdxError):
        parse_idx(content + bytes(8), dimensions)


@pytest.mark.parametrize(
    "shape",
    [(2**32 - 1,) * 3, (2**31, 2**31, 4), (2**16, 2**16, 1)],
    ids=["largest", "0 modulo 2**64", "0 modulo 2**32"],
)
def test_hostile_shape_is_refused_without_memory(shape: tuple[int, ...]) -> None:
    content = idx_header(shape)
    tracemalloc.start()
    try:
        with pytest.raises(IdxError, match="holds 0 values"):
            parse_idx(content, 3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


@given(content=st.binary(max_size=40), dimensions=st.integers(1, 3))
def test_garbage_is_refused_in_one_line(content: bytes, dimensions: int) -> None:
    with pytest.raises(IdxError) as caught:
        parse_idx(b"\xff" + content, dimensions)
    assert len(str(caught.value).splitlines()) == 1


HEADS = st.sampled_from([b"", b"\0\0\x08\x01", b"\0\0\x08\x03", b"\0\0\x08\xff", idx_header((2**32 - 1, 2**32 - 1, 1))])


@given(head=HEADS, content=st.binary(max_size=40), dimensions=st.integers(1, 3))
def test_any_bytes_are_an_array_of_all_of_them_or_refused(head: bytes, content: bytes, dimensions: int) -> None:
    try:
        array = parse_idx(head + content, dimensions)
    except IdxError:
        return
    assert array.ndim == dimensions
    assert idx_header(array.shape) + array.tobytes() == head + content


def test_values_share_the_memory_of_the_file_and_are_read_only() -> None:
    array = parse_idx(IMAGES, 3)
    assert np.shares_memory(array, np.frombuffer(IMAGES, np.uint8))
    assert not array.flags.writeable
