"""The IDX format of MNIST's files (Y. LeCun's page "The MNIST database", section "File formats").

A file is two zero bytes, a type code (0x08 for unsigned bytes, the only one MNIST uses), the number of
dimensions, each dimension as a big-endian 32-bit integer, then the values in C order.
"""

import math

import numpy as np
from numpy.typing import NDArray

_UINT8_CODE = 0x08


class IdxError(ValueError):
    """Bytes that are not an IDX file of unsigned bytes with the expected number of dimensions."""


def parse_idx(content: bytes, dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    Args:
        content: Bytes of the whole file.
        dimensions: Number of dimensions that it must have: 3 for images, 1 for labels.

    Returns:
        A read-only uint8 array that shares the memory of `content`.

    Raises:
        IdxError: The magic number, type code, number of dimensions or length is wrong.
    """
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise IdxError(f"{len(content)} bytes are too few for an IDX header of {header}")
    if content[:2] != b"\0\0":
        raise IdxError(f"it starts with {content[:4].hex(' ')}, an IDX file with 00 00")
    if content[2] != _UINT8_CODE:
        raise IdxError(f"its type code is 0x{content[2]:02x}, expected 0x{_UINT8_CODE:02x} (unsigned bytes)")
    if content[3] != dimensions:
        raise IdxError(f"it has {content[3]} dimensions, expected {dimensions}")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, offset=4))
    if len(content) - header != math.prod(shape):  # Python integers: a hostile shape can't overflow
        raise IdxError(f"it holds {len(content) - header} values, its header says {' x '.join(map(str, shape))}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def idx_header(shape: tuple[int, ...]) -> bytes:
    """Return the bytes before the values in the IDX file of an array of unsigned bytes."""
    return bytes([0, 0, _UINT8_CODE, len(shape)]) + np.array(shape, ">u4").tobytes()
