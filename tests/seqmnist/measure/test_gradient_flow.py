from typing import Any

import numpy as np
import pytest

from seqmnist.cells import reference
from seqmnist.cells.model import sequences_of
from seqmnist.measure import gradient_flow as flows
from seqmnist.measure.gradient_flow import gradient_flows
from tests.seqmnist.measure.small_models import UNITS, images, model_of

pytestmark = pytest.mark.usefixtures("tensorflow")


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
    flow = gradient_flows([model], digits, shards=2)[0]
    np.testing.assert_allclose(flow, expected / 3, rtol=5e-3)


def test_each_of_several_models_has_its_own_flow() -> None:
    models, digits = [model_of("lstm", scale=scale) for scale in (0.5, 1.5, 1.0)], images(3)
    for model, flow in zip(models, gradient_flows(models, digits, shards=2), strict=True):
        np.testing.assert_array_equal(flow, gradient_flows([model], digits, shards=2)[0])


def test_gradient_flow_of_any_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "_BATCH_IMAGES", 2)
    model, digits = model_of("gru"), images(3)
    whole = gradient_flows([model], digits, shards=1)[0]
    assert whole.shape == (28,)
    assert whole[0] == 1
    np.testing.assert_allclose(gradient_flows([model], digits, shards=2)[0], whole, rtol=1e-5)


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_a_cells_equations_give_what_its_gradient_gives(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    model, digits = model_of(kind, scale=1.5), images(3)
    by_equations = gradient_flows([model], digits, shards=2)[0]
    monkeypatch.setattr(flows, "_EQUATIONS", {})
    np.testing.assert_allclose(gradient_flows([model], digits, shards=2)[0], by_equations, rtol=1e-4)


def test_gradient_flow_of_a_single_unit_is_a_product_of_slopes() -> None:
    model, digits = model_of("rnn", units=1), images(1)
    (sequence,) = sequences_of(model, digits)
    slopes = [jacobian[0, 0] for jacobian in step_jacobians("rnn", model, sequence)]
    expected = [abs(np.prod(slopes[28 - k :])) for k in range(28)]
    np.testing.assert_allclose(gradient_flows([model], digits, shards=2)[0], expected, rtol=1e-4)
