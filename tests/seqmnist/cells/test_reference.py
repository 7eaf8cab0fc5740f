import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqmnist.cells import reference

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
Arrays = list[Any]


def weights(cell: str, inputs: int, units: int, random: np.random.Generator) -> Arrays:
    width = GATES[cell] * units
    bias = (2, width) if cell == "gru" else (width,)
    return [random.normal(0, 0.5, shape) for shape in ((inputs, width), (units, width), bias)]


@pytest.mark.parametrize("section", ["basic_rnn", "static_rnn"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rnn_gives_what_the_notebook_printed(section: str, dtype: type) -> None:
    golden = GOLDEN[section]
    x: Any = np.array(GOLDEN["X"]).swapaxes(0, 1).astype(dtype)
    arrays: Arrays = [np.array(golden[name]).astype(dtype) for name in ("kernel", "recurrent_kernel", "bias")]

    outputs, state = reference.rnn(x, *arrays)

    np.testing.assert_allclose(np.swapaxes(outputs, 0, 1), golden["Y"], atol=1e-5)
    np.testing.assert_array_equal(state, outputs[:, -1])
    assert outputs.dtype == dtype


@settings(max_examples=20)
@given(
    cell=st.sampled_from(list(GATES)),
    batch=st.integers(1, 4),
    steps=st.integers(1, 6),
    inputs=st.integers(1, 5),
    units=st.integers(1, 5),
    given_state=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_cells_agree_with_keras(
    cell: str, batch: int, steps: int, inputs: int, units: int, given_state: bool, seed: int
) -> None:
    import keras

    random = np.random.default_rng(seed)
    x = random.normal(size=(batch, steps, inputs))
    arrays = weights(cell, inputs, units, random)
    states = [random.normal(size=(batch, units)) for _ in range(2 if cell == "lstm" else 1)] if given_state else []
    kind = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    layer = kind(units, return_sequences=True, return_state=True, dtype="float64")
    layer.build(x.shape)
    layer.set_weights(arrays)

    outputs, state = getattr(reference, cell)(x, *arrays, *states)

    expected, *expected_states = layer(x, initial_state=states or None)
    np.testing.assert_allclose(outputs, expected, atol=1e-12)
    for one, other in zip(state if cell == "lstm" else [state], expected_states, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("cell", GATES)
def test_a_sequence_may_be_read_in_two_parts(cell: str) -> None:
    random = np.random.default_rng(0)
    x, arrays = random.normal(size=(3, 6, 4)), weights(cell, 4, 5, random)
    run = getattr(reference, cell)

    whole, _ = run(x, *arrays)
    first, state = run(x[:, :2], *arrays)
    second, _ = run(x[:, 2:], *arrays, *(state if cell == "lstm" else [state]))

    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-15)


@pytest.mark.parametrize(("cell", "names"), [("rnn", "h"), ("lstm", "ifgoch"), ("gru", "zrgh")])
def test_the_trace_holds_every_quantity_of_every_step(cell: str, names: str) -> None:
    random = np.random.default_rng(0)
    trace: reference.Trace = {}
    outputs, _ = getattr(reference, cell)(random.normal(size=(3, 6, 4)), *weights(cell, 4, 5, random), trace=trace)

    assert set(trace) == set(names)
    assert {array.shape for array in trace.values()} == {(3, 6, 5)}
    np.testing.assert_array_equal(trace["h"], outputs)


def test_the_lstm_s_trace_satisfies_its_equations() -> None:
    random = np.random.default_rng(1)
    trace: reference.Trace = {}
    reference.lstm(random.normal(size=(2, 5, 3)), *weights("lstm", 3, 4, random), trace=trace)

    before = np.concatenate([np.zeros((2, 1, 4)), trace["c"][:, :-1]], axis=1)
    np.testing.assert_allclose(trace["c"], trace["f"] * before + trace["i"] * trace["g"], atol=1e-15)
    np.testing.assert_allclose(trace["h"], trace["o"] * np.tanh(trace["c"]), atol=1e-15)
    assert all(((trace[gate] > 0) & (trace[gate] < 1)).all() for gate in "ifo")


def test_sigmoid_neither_overflows_nor_leaves_its_range() -> None:
    x = np.array([-1e30, -50.0, 0.0, 50.0, 1e30], np.float32)
    result = reference.sigmoid(x)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [0, 0, 0.5, 1, 1], atol=1e-7)
