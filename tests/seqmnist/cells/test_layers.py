import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqmnist.cells import reference

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
CELLS = ["rnn", "lstm", "gru"]
STATES = {"rnn": 1, "lstm": 2, "gru": 1}
Layer = "keras.Layer"


def ours(cell: str) -> Any:
    from seqmnist.cells.layers import layer_class

    return layer_class(cell)


def stock(cell: str) -> Any:
    import keras

    return {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]


def fill(layer: Any, shape: tuple[int, ...], seed: int = 0) -> Any:
    """Build a layer and give it weights drawn at random, biases too."""
    random = np.random.default_rng(seed)
    layer.build(shape)
    layer.set_weights([random.normal(0, 0.5, weight.shape) for weight in layer.weights])
    return layer


def traced(*, fused: bool) -> AbstractContextManager[None]:
    from seqmnist.cells.recurrent import fused_steps

    return fused_steps() if fused else nullcontext()


def pair(cell: str, steps: int = 5, inputs: int = 3, units: int = 4, **options: Any) -> tuple[Any, Any]:
    """A layer of ours and one of Keras's with the same weights."""
    layer = fill(ours(cell)(units, **options), (1, steps, inputs))
    other = stock(cell)(units, **options)
    other.build((None, steps, inputs))
    other.set_weights(layer.get_weights())
    return layer, other


def outputs_and_gradients(layer: Any, x: Any, states: list[Any]) -> tuple[list[Any], list[Any]]:
    import tensorflow as tf

    x, states = tf.constant(x), [tf.constant(state) for state in states]
    with tf.GradientTape() as tape:
        tape.watch([x, *states])
        results = layer(x, initial_state=states) if states else layer(x)
        total = sum(tf.reduce_sum(tf.sin(result)) for result in results)
    sources = [x, *states, *(weight.value for weight in layer.trainable_variables)]
    gradients = tape.gradient(total, sources, unconnected_gradients="zero")
    return [result.numpy() for result in results], [gradient.numpy() for gradient in gradients]


def largest(difference: Any, of: Any) -> float:
    return float(np.abs(difference).max() / max(np.abs(of).max(), 1e-30))


@pytest.mark.parametrize("section", ["basic_rnn", "static_rnn"])
def test_the_layer_gives_what_the_notebook_printed(section: str) -> None:
    golden = GOLDEN[section]
    x = np.array(GOLDEN["X"], np.float32).swapaxes(0, 1)
    layer = ours("rnn")(5, return_sequences=True)
    layer.build(x.shape)
    layer.set_weights([np.array(golden[name]) for name in ("kernel", "recurrent_kernel", "bias")])

    np.testing.assert_allclose(np.swapaxes(layer(x), 0, 1), golden["Y"], atol=1e-5)


@pytest.mark.parametrize(("dtype", "output", "gradient"), [("float32", 2e-5, 1e-4), ("float64", 1e-10, 1e-10)])
@settings(max_examples=12)
@given(
    cell=st.sampled_from(CELLS),
    batch=st.integers(1, 7),
    steps=st.integers(1, 6) | st.sampled_from([28, 29, 57]),
    inputs=st.integers(1, 5),
    units=st.integers(1, 6),
    given_state=st.booleans(),
    backwards=st.booleans(),
    fused=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_outputs_and_gradients_are_those_of_keras_and_of_the_equations(
    dtype: str,
    output: float,
    gradient: float,
    cell: str,
    batch: int,
    steps: int,
    inputs: int,
    units: int,
    given_state: bool,
    backwards: bool,
    fused: bool,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(size=(batch, steps, inputs)).astype(dtype)
    states = [random.normal(size=(batch, units)).astype(dtype) for _ in range(STATES[cell])] if given_state else []
    options = {"return_sequences": True, "return_state": True, "go_backwards": backwards, "dtype": dtype}
    layer = fill(ours(cell)(units, **options), x.shape, seed)
    other = fill(stock(cell)(units, **options), x.shape)
    other.set_weights(layer.get_weights())

    with traced(fused=fused):
        results, gradients = outputs_and_gradients(layer, x, states)

    expected, expected_gradients = outputs_and_gradients(other, x, states)
    by_equations, _ = getattr(reference, cell)(x[:, ::-1] if backwards else x, *layer.get_weights(), *states)
    assert largest(results[0] - by_equations, by_equations) <= output
    for one, two in zip(results, expected, strict=True):
        assert largest(one - two, two) <= output
    for one, two in zip(gradients, expected_gradients, strict=True):
        assert largest(one - two, two) <= gradient


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("steps", [28, 784, None], ids=str)
def test_a_graph_for_any_number_of_steps_gives_the_equations_outputs(cell: str, steps: int | None) -> None:
    import tensorflow as tf

    x = np.random.default_rng(0).normal(size=(3, steps or 40, 2)).astype(np.float32)
    layer = fill(ours(cell)(4, return_sequences=True), x.shape)

    run = tf.function(layer, input_signature=[tf.TensorSpec([None, steps, 2])])

    expected, _ = getattr(reference, cell)(x, *layer.get_weights())
    np.testing.assert_allclose(run(tf.constant(x)), expected, atol=1e-4)
    # 784 steps as 28 blocks: unrolled one by one, the graph would be 28 times as large.
    assert len(run.get_concrete_function().graph.get_operations()) < 2500


@pytest.mark.parametrize("cell", CELLS)
def test_weights_have_keras_names_shapes_and_start_values(cell: str) -> None:
    layer, other = ours(cell)(5), stock(cell)(5)
    layer.build((None, 3, 4))
    other.build((None, 3, 4))

    assert [weight.name for weight in layer.weights] == [weight.name for weight in other.weights]
    assert [weight.shape for weight in layer.weights] == [weight.shape for weight in other.weights]
    np.testing.assert_array_equal(layer.get_weights()[2], other.get_weights()[2])
    other.set_weights(layer.get_weights())
    layer.set_weights(other.get_weights())


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("return_state", [False, True])
def test_what_is_returned_has_keras_shapes(cell: str, return_sequences: bool, return_state: bool) -> None:
    options = {"return_sequences": return_sequences, "return_state": return_state}
    x = np.zeros((4, 3, 2), np.float32)
    layer, other = ours(cell)(5, **options), stock(cell)(5, **options)

    results, expected = layer(x), other(x)

    if not return_state:
        results, expected = [results], [expected]
    assert [one.shape for one in results] == [one.shape for one in expected]
    described = layer.compute_output_shape(x.shape)
    assert described == (tuple(tuple(one.shape) for one in results) if return_state else results[0].shape)


@pytest.mark.parametrize("cell", CELLS)
def test_a_saved_model_is_loaded_with_its_layer(cell: str, tmp_path: Path) -> None:
    import keras

    inputs = keras.Input((6, 3))
    layer = ours(cell)(4, return_sequences=True, name="cell")
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")

    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)

    x = np.random.default_rng(0).normal(size=(5, 6, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.get_layer("cell").get_config() == layer.get_config()


@pytest.mark.parametrize("cell", CELLS)
def test_a_layer_that_was_saved_with_shards_is_still_read(cell: str) -> None:
    config = ours(cell)(4, return_sequences=True).get_config()

    layer = ours(cell).from_config({**config, "shards": 2})

    assert layer.get_config() == config


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("steps", [3, 30])
def test_no_rows_give_no_rows_and_no_gradient(cell: str, steps: int, *, fused: bool) -> None:
    layer = fill(ours(cell)(4, return_sequences=True, return_state=True), (0, steps, 2))

    with traced(fused=fused):
        results, gradients = outputs_and_gradients(layer, np.zeros((0, steps, 2), np.float32), [])

    assert [result.shape for result in results] == [(0, steps, 4), *[(0, 4)] * STATES[cell]]
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda layer: layer(0), "units = 0 is impossible"),
        (lambda layer: layer(1.5), "units = 1.5 is impossible"),
        (lambda layer: layer(4).build((None, 28)), "reads sequences"),
        (lambda layer: layer(4).build((None, 28, None)), "reads sequences"),
        (lambda layer: layer(4)(np.zeros((2, 3, 4)), mask=np.ones((2, 3), bool)), "masks are not supported"),
        (lambda layer: layer(4)(np.zeros((2, 3, 4)), initial_state=[np.zeros((2, 4))] * 3), "not from 3"),
        (lambda layer: layer(4, dropout=0.5), "dropout"),
    ],
    ids=["no units", "half a unit", "rank", "inputs", "mask", "states", "dropout"],
)
def test_what_is_not_supported_is_refused(make: Callable[[Any], Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make(ours("lstm"))


@pytest.mark.parametrize("cell", CELLS)
def test_a_model_that_xla_compiles_trains_as_with_keras_layer(cell: str) -> None:
    import keras

    random = np.random.default_rng(0)
    x, y = random.normal(size=(24, 5, 3)).astype(np.float32), random.normal(size=(24, 4)).astype(np.float32)
    trained = []
    for layer in pair(cell):
        inputs = keras.Input((5, 3))
        model = keras.Model(inputs, layer(inputs))
        model.compile("sgd", "mse", jit_compile=True)
        assert model.jit_compile
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        trained.append([*model.get_weights(), model.predict(x, verbose=0)])
    for one, two in zip(*trained, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("steps", [5, 30])
def test_second_gradients_are_those_of_keras_layer(cell: str, steps: int) -> None:
    import tensorflow as tf

    x = tf.constant(np.random.default_rng(1).normal(size=(2, steps, 3)).astype(np.float32))
    found = []
    for layer in pair(cell, steps):
        sources = [x, *(weight.value for weight in layer.trainable_variables)]
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                total = tf.reduce_sum(tf.sin(layer(x)))
            first = inner.gradient(total, sources)
            penalty = sum(tf.reduce_sum(gradient**2) for gradient in first)
        found.append([gradient.numpy() for gradient in outer.gradient(penalty, sources)])
    for one, two in zip(*found, strict=True):
        assert largest(one - two, two) <= 1e-4


@pytest.mark.parametrize("cell", CELLS)
def test_forward_mode_gives_the_derivative_of_keras_layer(cell: str) -> None:
    import tensorflow as tf

    random = np.random.default_rng(2)
    x, direction = (tf.constant(random.normal(size=(2, 5, 3)).astype(np.float32)) for _ in range(2))
    found = []
    for layer in pair(cell):
        with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
            output = layer(x)
        found.append(accumulator.jvp(output).numpy())
    assert np.abs(found[1]).max() > 0.01
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of TensorFlow, that another package will have the interpreter
@pytest.mark.parametrize("cell", CELLS)
def test_a_model_becomes_one_of_tflite(cell: str) -> None:
    import keras
    import tensorflow as tf

    layer, other = pair(cell)
    inputs = keras.Input((5, 3), batch_size=2)
    content = tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, layer(inputs))).convert()

    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    x = np.random.default_rng(3).normal(size=(2, 5, 3)).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, other(x), atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("merge_mode", ["concat", "sum", None])
@pytest.mark.parametrize("options", [{}, {"return_sequences": True}, {"return_sequences": True, "return_state": True}])
def test_a_bidirectional_layer_gives_what_it_gives_of_keras_layer(
    cell: str, merge_mode: str | None, options: dict[str, bool]
) -> None:
    import keras

    x = np.random.default_rng(4).normal(size=(2, 5, 3)).astype(np.float32)
    both = [keras.layers.Bidirectional(layer, merge_mode=merge_mode) for layer in pair(cell, **options)]
    for one in both:
        one.build(x.shape)
    both[1].set_weights([np.cos(weight) for weight in both[1].get_weights()])
    both[0].set_weights(both[1].get_weights())
    symbolic = [one(keras.Input((5, 3))) for one in both]
    assert [each.shape for each in keras.tree.flatten(symbolic[0])] == [
        each.shape for each in keras.tree.flatten(symbolic[1])
    ]
    for ours_, theirs in zip(keras.tree.flatten(both[0](x)), keras.tree.flatten(both[1](x)), strict=True):
        np.testing.assert_allclose(ours_, theirs, atol=1e-5)
