import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn

from seqmnist.cells.model import build
from seqmnist.config import Cell, Sequence
from seqmnist.demo.app import application
from seqmnist.demo.reader import Reader
from seqmnist.localhost import HOST, listener
from seqmnist.training.runtime import start_tensorflow

LINE = [[[0.5, 0.2], [0.5, 0.8]]]


def reader(kind: str) -> Reader:
    cell = Cell.model_validate({"type": kind, "units": 4, "shards": 1, "train": {}})
    return Reader(kind, build(cell, Sequence(view="rows"), 1), has_gates=kind == "lstm")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a server in a thread, with two untrained cells."""
    start_tensorflow(2)
    app = application([reader("rnn"), reader("lstm")], "rows")
    with listener(0) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://{HOST}:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def post(address: str, body: Any, **more: str) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json", **more}
    request = urllib.request.Request(f"{address}/read", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_page_needs_nothing_but_itself(address: str) -> None:
    with urllib.request.urlopen(address) as response:
        text = response.read().decode()
    assert "draw a digit" in text
    assert "row by row" in text
    assert "{{" not in text
    assert "http://" not in text
    assert "https://" not in text


def test_each_cell_says_what_it_believes_after_each_row(address: str) -> None:
    status, result = post(address, {"strokes": LINE})

    assert status == 200
    assert len(result["image"]) == len(result["image"][0]) == 28
    assert max(max(row) for row in result["image"]) == 255
    rnn, lstm = result["cells"]
    assert (rnn["cell"], rnn["gates"]) == ("rnn", {})
    assert {name: len(means) for name, means in lstm["gates"].items()} == dict.fromkeys(
        ("input gate", "forget gate", "output gate"), 28
    )
    for cell in (rnn, lstm):
        assert len(cell["beliefs"]) == 28
        assert all(sum(probabilities) == pytest.approx(1, abs=0.001) for probabilities in cell["beliefs"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"strokes": "a line"},
        {"strokes": [[[0.5]]]},
        {"strokes": [[[0.5, 1.01]]]},
        {"strokes": [[[0.5, -0.01]]]},
        {"strokes": [[]] * 201},
        {"strokes": [[[0.5, 0.5]] * 5_001]},
    ],
    ids=["nothing", "text", "one number", "outside", "negative", "too many strokes", "too many points"],
)
def test_an_invalid_drawing_is_refused(address: str, body: Any) -> None:
    assert post(address, body)[0] == 422


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"strokes": [[[NaN, 0.5]]]}', "body.strokes.0.0.0: Input should be a finite number"),
        (b'{"strokes": [[[0.5, -1e999]]]}', "body.strokes.0.0.1: Input should be a finite number"),
        (b'{"strokes": [[' + b"[2, 3]," * 100_000 + b"[2, 3]]]}", "body.strokes.0.0.0: Input should be less than or"),
        (b'{"strokes": [' + b"0," * 100_000 + b"0]}", "body.strokes.0: Input should be a valid list"),
        (json.dumps({"strokes": [[[0.5, 0.5]] * 2_501] * 2}).encode(), "body.strokes: Value error, more than 5,000 po"),
        (json.dumps({"x" * 100_000: 1}).encode(), "body.strokes: Field required"),
        (b'{"strokes"', "body.10: JSON decode error"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_first_mistake_is_named_in_a_line_without_what_was_sent(address: str, body: bytes, said: str) -> None:
    request = urllib.request.Request(f"{address}/read", body, {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 422
    answer = refused.value.read()
    assert len(answer) < 200
    assert json.loads(answer)["detail"].startswith(said)


def test_a_page_of_another_name_is_refused(address: str) -> None:
    assert post(address, {"strokes": LINE}, Host="elsewhere.example")[0] == 400


def test_a_page_of_another_site_can_not_have_a_drawing_read(address: str) -> None:
    assert post(address, {"strokes": LINE}, Origin=address)[0] == 200
    assert post(address, {"strokes": LINE}, Origin="https://elsewhere.example")[0] == 403


def test_a_drawing_that_is_too_large_is_refused_before_it_is_read(address: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(address).netloc)
    connection.putrequest("POST", "/read")
    connection.putheader("Content-Length", str((1 << 20) + 1))
    connection.endheaders()  # and none of the bytes
    response = connection.getresponse()
    assert response.status == 413
    assert response.read().endswith(b"at most 1,048,576 are taken\n")
    connection.close()


def test_json_without_end_is_refused(address: str) -> None:
    request = urllib.request.Request(f"{address}/read", b"[" * 100_000, {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError, match="HTTP Error 4"):
        urllib.request.urlopen(request)


def test_the_page_puts_texts_into_it_as_texts(address: str) -> None:
    with urllib.request.urlopen(address) as response:
        text = response.read().decode()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert way not in text
