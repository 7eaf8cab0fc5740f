import json
from typing import Any

import numpy as np
import pytest

from seqmnist.tracking.serve import problem

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 28, 28))


def body(value: Any, field: str = "inputs") -> bytes:
    return json.dumps({field: value}).encode()


@pytest.mark.parametrize("field", ["inputs", "instances"])
@pytest.mark.parametrize("images", [IMAGES, IMAGES[:1], np.zeros((1, 28, 28), int), np.full((1, 28, 28), 255)])
def test_images_as_mnist_has_them_are_let_through(field: str, images: np.ndarray) -> None:
    assert problem(body(images.tolist(), field)) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (IMAGES[0].tolist(), "not of shape [28, 28]: put [ ] round a single image"),
        (IMAGES[:, :27].tolist(), "not of shape [2, 27, 28]"),
        (IMAGES.reshape(2, 784).tolist(), "not of shape [2, 784]"),
        ([], "not of shape [0]"),
        (7, "not of shape []"),
        ((IMAGES / 255).tolist(), "not float64: send the pixels as they are, unscaled"),
        (np.full((1, 28, 28), "7").tolist(), "not <U1"),
        (np.full((1, 28, 28), True).tolist(), "not bool"),
        ((IMAGES + 256).tolist(), "not from 256 to"),
        ((IMAGES - 256).tolist(), "not from -256 to"),
        ([[[1, 2], [3]]], "its lists have different lengths"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_anything_else_is_refused_with_what_was_wrong(value: Any, said: str) -> None:
    message = problem(body(value))
    assert message is not None
    assert message.startswith("inputs must be images [n, 28, 28] of whole numbers from 0 to 255")
    assert said in message


def test_json_without_end_is_refused() -> None:
    assert problem(b"[" * 100_000) == "the JSON is nested too deeply"


@pytest.mark.parametrize("request_", [b"not json", b"[]", b"{}", b'{"inputs": 1, "instances": 1}', b'{"columns": []}'])
def test_what_is_no_request_for_tensors_is_left_to_mlflow(request_: bytes) -> None:
    assert problem(request_) is None
