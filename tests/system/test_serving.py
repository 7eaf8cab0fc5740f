"""`make serve`: MLflow's server with the champion model, which answers a user's requests."""

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

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(reproduced: Any, serving: Any) -> Iterator[tuple[str, str]]:
    """Yield the champion's cell and the address for requests."""
    with serving(reproduced, "seqmnist.serve") as output:
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


def test_the_champion_is_the_first_cell_with_the_best_validation_accuracy(served: Any, reproduced: Any) -> None:
    accuracies = {cell: reproduced.metrics()[cell]["selected"]["val"]["accuracy"] for cell in ("rnn", "lstm")}
    assert served[0] == max(accuracies, key=lambda cell: accuracies[cell])


@pytest.mark.parametrize("field", ["inputs", "instances"])
def test_answers_are_the_probabilities_of_the_saved_model(served: Any, reproduced: Any, field: str) -> None:
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
    for wrong, message in (
        (images[0], "put [ ] round a single image"),
        (images[:, :27], "not of shape [20, 27, 28]"),
        (images / 255, "unscaled"),
    ):
        status, answer = post(served[1], wrong.tolist())
        assert status == 400
        assert message in answer["message"]


def test_a_body_that_is_not_json_gets_a_400_from_mlflow(served: Any) -> None:
    request = urllib.request.Request(served[1], b"no json", {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request)


def test_without_a_champion_the_error_names_the_command_to_run(unrun: Any) -> None:
    unrun.succeed("dvc", "repro", "compose")
    assert_refused(unrun, "has no champion", "make repro")


def test_an_unreachable_tracking_server_is_named(reproduced: Any) -> None:
    away = "http://127.0.0.1:1"
    assert_refused(reproduced, f"the MLflow store {away} can't be used", MLFLOW_TRACKING_URI=away)


def test_a_champion_whose_files_are_missing_is_named(served: Any, reproduced: Any, tmp_path: Any) -> None:
    # The database holds the path of the artifacts, so they are moved away and back instead of copying the store.
    artifacts = reproduced.root / "mlartifacts"
    artifacts.rename(tmp_path / "mlartifacts")
    try:
        assert_refused(reproduced, f"({served[0]} seed=42", "has no files in file://", "seqmnist sync")
    finally:
        (tmp_path / "mlartifacts").rename(artifacts)


def assert_refused(project: Any, *parts: str, **environment: str) -> None:
    """Check that the module of `make serve` fails with an error whose line has all these parts."""
    result = project.run("python", "-m", "seqmnist.serve", PYTHONPATH="src", **environment)
    assert result.code == 1
    *_, last = result.output.splitlines()
    assert last.startswith("error: ")
    for part in parts:
        assert part in last
    assert "Traceback" not in result.output
