"""`make serve`: MLflow's server with the champion, asked as a user would."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from seqmnist.cells import saved
from seqmnist.training.graph import ScoringGraph
from seqmnist.training.runtime import start_tensorflow


@pytest.fixture(scope="module")
def served(reproduced: Any, serving: Any) -> Iterator[tuple[str, str]]:
    """The champion's cell, and the address that answers."""
    with serving(reproduced, "seqmnist.tracking.serve") as output:
        cell = re.search(r"version \d+ \((\w+) seed=42", output)
        address = re.search(r"http://\S+/invocations", output)
        assert cell, output
        assert address, output
        yield cell[1], address[0]


def post(address: str, value: Any, field: str = "inputs") -> tuple[int, Any]:
    body = json.dumps({field: value}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_champion_is_the_cell_with_the_better_validation_accuracy(served: Any, reproduced: Any) -> None:
    accuracies = {cell: reproduced.metrics()[cell]["selected"]["val"]["accuracy"] for cell in ("rnn", "lstm")}
    assert accuracies[served[0]] == max(accuracies.values())


@pytest.mark.parametrize("field", ["inputs", "instances"])
def test_digits_get_the_probabilities_of_the_saved_model(served: Any, reproduced: Any, field: str) -> None:
    cell, address = served
    images = np.load(reproduced.root / "data/processed/test.images.npy")
    start_tensorflow(2)
    model, _ = saved.load(reproduced.root / "models" / cell, 42)
    logits = ScoringGraph(model, 2).logits(images).astype(float)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    status, answer = post(address, images.tolist(), field)

    assert status == 200
    np.testing.assert_allclose(answer["predictions"], expected, atol=1e-5)


def test_wrong_images_get_a_400_that_says_why(served: Any, reproduced: Any) -> None:
    images = np.load(reproduced.root / "data/processed/test.images.npy")
    for wrong, said in (
        (images[0], "put [ ] round a single image"),
        (images[:, :27], "not of shape [20, 27, 28]"),
        (images / 255, "unscaled"),
    ):
        status, answer = post(served[1], wrong.tolist())
        assert status == 400
        assert said in answer["message"]


def test_what_is_no_json_gets_a_400_by_mlflow(served: Any) -> None:
    request = urllib.request.Request(served[1], b"no json", {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request)


def test_without_a_champion_the_user_is_told_what_to_do(unrun: Any) -> None:
    unrun.succeed("dvc", "repro", "compose")
    result = unrun.run("python", "-m", "seqmnist.tracking.serve", PYTHONPATH="src")
    assert result.code == 1
    assert "has no champion" in result.output
    assert "make repro" in result.output
    assert "Traceback" not in result.output
