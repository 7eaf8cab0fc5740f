from typing import Any

import numpy as np
import pytest

from seqmnist.cells import reference
from seqmnist.cells.model import sequences_of
from seqmnist.config import Cell, Sequence
from seqmnist.data.splits import Split
from seqmnist.measure import memory

pytestmark = pytest.mark.usefixtures("tensorflow")

UNITS = 5


def model_of(kind: str, view: str = "rows", scale: float = 1.0, units: int = UNITS) -> Any:
    from seqmnist.cells.model import build

    cell = Cell.model_validate({"type": kind, "units": units, "shards": 2, "train": {}})
    model = build(cell, Sequence.model_validate({"view": view}), 3)
    layer = model.get_layer("cell")
    layer.set_weights([scale * weight for weight in layer.get_weights()])
    return model


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28)).astype(np.uint8)


def step_jacobians(kind: str, model: Any, sequence: np.ndarray) -> list[np.ndarray]:
    """The derivative of each step's states with respect to those before it, by the equations in float64."""
    kernel, recurrent, bias = (weight.astype(float) for weight in model.get_layer("cell").get_weights())
    trace: reference.Trace = {}
    found = []
    if kind == "rnn":
        reference.rnn(sequence[None].astype(float), kernel, recurrent, bias, trace=trace)
        return [np.diag(1 - h**2) @ recurrent.T for h in trace["h"][0]]
    reference.lstm(sequence[None].astype(float), kernel, recurrent, bias, trace=trace)
    u = dict(zip("ifgo", np.split(recurrent, 4, axis=1), strict=True))
    i, f, g, o, c = (trace[name][0] for name in "ifgoc")
    before = np.vstack([np.zeros((1, c.shape[1])), c[:-1]])
    for t in range(len(sequence)):
        dc_dh = (
            np.diag(before[t] * f[t] * (1 - f[t])) @ u["f"].T
            + np.diag(g[t] * i[t] * (1 - i[t])) @ u["i"].T
            + np.diag(i[t] * (1 - g[t] ** 2)) @ u["g"].T
        )
        shown = np.diag(o[t] * (1 - np.tanh(c[t]) ** 2))
        dh_dh = np.diag(np.tanh(c[t]) * o[t] * (1 - o[t])) @ u["o"].T + shown @ dc_dh
        found.append(np.block([[dh_dh, shown @ np.diag(f[t])], [dc_dh, np.diag(f[t])]]))
    return found


# With 60 units the norm is an approximation: a fresh kernel is orthogonal, so many singular values are nearly equal.
@pytest.mark.parametrize("kind", ["rnn", "lstm"])
@pytest.mark.parametrize(("scale", "units"), [(0.5, UNITS), (1.5, UNITS), (1.0, 60)])
def test_gradient_flow_is_the_spectral_norm_of_the_product_of_jacobians(kind: str, scale: float, units: int) -> None:
    model, digits = model_of(kind, scale=scale, units=units), images(3)
    expected = np.zeros(28)
    for sequence in sequences_of(model, digits):
        product = np.eye(units * (2 if kind == "lstm" else 1))
        expected[0] += 1
        for k, jacobian in enumerate(reversed(step_jacobians(kind, model, sequence)[1:]), start=1):
            product = product @ jacobian
            expected[k] += np.linalg.norm(product, 2)
    flow = memory.gradient_flow(model, digits, shards=2)
    np.testing.assert_allclose(flow, expected / 3, rtol=5e-3)


def test_gradient_flow_of_any_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_JACOBIAN_BATCH_IMAGES", 2)
    model, digits = model_of("gru"), images(3)
    whole = memory.gradient_flow(model, digits, shards=1)
    assert whole.shape == (28,)
    assert whole[0] == 1
    np.testing.assert_allclose(memory.gradient_flow(model, digits, shards=2), whole, rtol=1e-5)


def test_gradient_flow_of_a_single_unit_is_a_product_of_slopes() -> None:
    model, digits = model_of("rnn", units=1), images(1)
    (sequence,) = sequences_of(model, digits)
    slopes = [jacobian[0, 0] for jacobian in step_jacobians("rnn", model, sequence)]
    expected = [abs(np.prod(slopes[28 - k :])) for k in range(28)]
    np.testing.assert_allclose(memory.gradient_flow(model, digits, shards=2), expected, rtol=1e-4)


@pytest.mark.parametrize("view", ["rows", "columns", "pixels"])
def test_no_rows_after_the_digit_change_nothing(view: str) -> None:
    model, digits = model_of("rnn", view), images(30)
    answers = np.asarray(model(digits)).argmax(axis=1).astype(np.uint8)
    split = Split(digits, answers)
    for kind in memory.KINDS:
        assert memory.accuracy_after(model, split, kind=kind, extra=0, shards=2) == 1.0


def test_blank_rows_are_rows_of_zeros() -> None:
    model, digits = model_of("lstm"), images(40)
    cell, logits = model.get_layer("cell"), model.get_layer("logits")
    longer = np.concatenate([digits / 255, np.zeros((40, 5, 28))], axis=1).astype(np.float32)
    answers = np.asarray(logits(cell(longer))).argmax(axis=1).astype(np.uint8)
    assert memory.accuracy_after(model, Split(digits, answers), kind="blank", extra=5, shards=3) == 1.0


def test_noise_is_the_same_each_time_and_disturbs() -> None:
    model, digits = model_of("rnn", scale=2.0), images(200)
    answers = np.asarray(model(digits)).argmax(axis=1).astype(np.uint8)
    split = Split(digits, answers)
    first, second = (memory.accuracy_after(model, split, kind="noise", extra=28, shards=2) for _ in range(2))
    assert first == second < 1.0
