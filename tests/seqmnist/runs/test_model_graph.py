from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread
from mlflow import MlflowClient

from accord.tracking.runs import RunRequest, stage_run
from seqmnist.cells.model import build
from seqmnist.config import Cell, Config, Sequence
from seqmnist.runs.model_graph import draw, log_graph
from seqmnist.training.runtime import start_tensorflow


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    start_tensorflow(2)


def model_of(kind: str, view: str) -> Any:
    cell = Cell.model_validate({"type": kind, "units": 5, "shards": 1, "train": {}})
    return build(cell, Sequence.model_validate({"view": view}), 1)


@pytest.mark.parametrize(
    ("kind", "view", "expected"),
    [
        ("rnn", "rows", ["image: InputLayer\nuint8 [n, 28, 28]", "RNN\nstep 27: x(27)", "h"]),
        ("lstm", "columns", ["columns: Permute\nfloat32 [n, 28, 28]", "LSTM\nstep 0: x(0)", "h, c"]),
        (
            "gru",
            "permuted_pixels",
            ["pixels: Reshape\nfloat32 [n, 784, 1]", "Take\nfloat32 [n, 784, 1]", "GRU\nstep 783: x(783)", "h"],
        ),
    ],
)
def test_a_picture_names_every_operation_with_its_shape(
    kind: str, view: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = []
    write = Axes.text

    def remember(axes: Axes, x: float, y: float, text: str, **options: Any) -> Any:
        texts.append(text)
        return write(axes, x, y, text, **options)

    monkeypatch.setattr(Axes, "text", remember)
    model = model_of(kind, view)

    draw(model, tmp_path / "model.png")

    weights = sum(array.size for array in model.get_layer("cell").get_weights())
    for text in [*expected, "logits: Dense\nfloat32 [n, 10], 60 weights"]:
        assert any(drawn.endswith(text) for drawn in texts)
    assert any(f"float32 [n, 5], {weights:,} weights" in text for text in texts)
    image = imread(tmp_path / "model.png")
    assert image.shape[1] == 1500
    assert np.ptp(image[..., :3]) == 1


def test_a_graph_is_logged_once(config: Config) -> None:
    model = build(config.cells["rnn"], config.sequence, 42)

    with stage_run(config.tracking, RunRequest("train", "train@rnn")) as run:
        log_graph(run, model)
    with stage_run(config.tracking, RunRequest("train", "train@rnn", resume=run.id)) as again:
        log_graph(again, model)

    client = MlflowClient()
    assert [file.path for file in client.list_artifacts(run.id, "graph")] == ["graph/model.png"]
