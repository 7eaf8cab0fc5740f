import http.client
import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import uvicorn

from seqmnist import serve
from seqmnist.localhost import HOST, listener
from seqmnist.serve import application, problem

# Raised where MLflow's loaders are imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 28, 28))

OTHERS = [
    b"[]",
    b"{}",
    b"null",
    b'{"inputs": 1, "instances": 1}',
    b'{"inputs": 1, "params": {}}',
    b'{"dataframe_split": {"columns": [0], "data": [[0]]}}',
    b'{"messages": [{"role": "user", "content": ""}]}',
]


def body(value: Any, field: str = "inputs") -> bytes:
    return json.dumps({field: value}).encode()


@pytest.mark.parametrize("field", ["inputs", "instances"])
@pytest.mark.parametrize("images", [IMAGES, IMAGES[:1], np.zeros((1, 28, 28), int), np.full((1, 28, 28), 255)])
def test_images_in_the_form_of_mnist_are_accepted(field: str, images: np.ndarray) -> None:
    assert problem(body(images.tolist(), field)) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (IMAGES[0].tolist(), "not of shape [28, 28]: put [ ] round a single image"),
        (IMAGES[:, :27].tolist(), "not of shape [2, 27, 28]"),
        (IMAGES.reshape(2, 784).tolist(), "not of shape [2, 784]"),
        ([], "not of shape [0]"),
        (7, "not of shape []"),
        ((IMAGES / 255).tolist(), "not float: send the pixels as they are, unscaled"),
        (np.full((1, 28, 28), "7").tolist(), "not str: send"),
        (np.full((1, 28, 28), True).tolist(), "not bool: send"),
        ((IMAGES + 256).tolist(), "0 to 255, not "),
        ((IMAGES - 256).tolist(), "not -256"),
        ([[[1, 2], [3]]], "its lists have different lengths"),
        ([[[0] * 28] * 28, [[0] * 28] * 27], "its lists have different lengths"),
        ([[[0] * 28] * 27 + [0]], "not of shape [1, 28]"),
        ([[[0, 0.5] * 14] * 28], "not float, int"),
        ([[[None] * 28] * 28], "not NoneType"),
        ([[[10**400] * 28] * 28], "not 1000"),
        ([[[float("nan")] * 28] * 28], "not float"),
        ([[*["x" * 1_000_000], *[""] * 1_000_000]], "not of shape [1, 1000001]"),  # an array of it: 4 TB
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_images_are_refused_with_the_mistake(value: Any, said: str) -> None:
    message = problem(body(value))
    assert message is not None
    assert message.startswith("inputs must be images [n, 28, 28] of whole numbers from 0 to 255")
    assert said in message


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"[" * 100_000, "the JSON is nested too deeply"),
        (b'{"inputs": ' + b"[" * 500 + b"]" * 500 + b"}", "not of shape [1, 1, 1, "),
        (b"", "the body is no JSON: Expecting value"),
        (b"not json", "the body is no JSON: Expecting value"),
        (b'"\xff"', "the body is no JSON: 'utf-8' codec"),
        (b'{"inputs": ' + b"9" * 5_000 + b"}", "the body is no JSON: Exceeds the limit"),
        *[(one, "the JSON must be an object with one field, inputs or instances") for one in OTHERS],
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request_without_images_is_refused_in_a_line(request_: bytes, said: str) -> None:
    message = problem(request_)
    assert message is not None
    assert said in message
    assert len(message) <= 300


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of MLflow's server in a thread, with a model that no request may reach and a small limit of the body."""
    monkeypatch.setattr(serve, "_MAX_REQUEST_BYTES", 1000)
    model: Any = SimpleNamespace(metadata=SimpleNamespace(get_input_schema=lambda: None))
    with listener(0) as listening:
        server = uvicorn.Server(uvicorn.Config(application(model), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


def ask(port: int, content: Any, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request("POST", "/invocations", content, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_only_this_machine_s_programs_can_have_images_read(port: int) -> None:
    assert ask(port, body(7))[0] == 400
    assert "inputs must be images" in ask(port, body(7))[1]
    assert ask(port, body(7), Origin="https://evil.example")[0] == 403
    assert ask(port, body(7), Host=f"evil.example:{port}") == (400, "Invalid host header")


@pytest.mark.parametrize("kind", [None, "", "text/csv", "application/jsonx", "\xff", ";"])
def test_a_body_that_does_not_say_it_is_json_is_refused(port: int, kind: str | None) -> None:
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    connection.request("POST", "/invocations", body(7), {} if kind is None else {"Content-Type": kind})
    response = connection.getresponse()
    assert (response.status, json.load(response)["message"]) == (415, "the Content-Type must be application/json")
    connection.close()


@pytest.mark.parametrize("kind", ["application/json", "text/csv"])
def test_a_request_that_is_too_large_is_refused_with_or_without_a_stated_length(port: int, kind: str) -> None:
    headers = {"Content-Type": kind}
    assert ask(port, bytes(1001), **headers) == (413, "the request has 1,001 bytes, at most 1,000 are taken\n")
    status, text = ask(port, iter([bytes(600), bytes(600)]), **headers)  # chunked
    assert status == 413
    assert "Content Too Large" in text
