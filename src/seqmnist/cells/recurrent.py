"""The base class of the fast Keras layers: the equations of `seqmnist.cells.reference`, arranged for a CPU.

Up to 28 steps are unrolled into a block, whose gradient is written by hand (`seqmnist.cells.types`). Longer sequences
go through a loop of blocks. Additions have a fixed order, so two runs give the same bits where each operation has one
thread (`seqmnist.training.runtime`).

Weights have the layout of the Keras layer named as `stock`: `set_weights` works both ways.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

from seqmnist.cells.gradients import Tensors

_BLOCK_STEPS = 28  # steps in an unrolled block: each adds to the time of tracing
_FUSED: ContextVar[bool] = ContextVar("fused", default=False)


@contextmanager
def fused_steps() -> Iterator[None]:
    """Trace layers with TensorFlow's operation for a whole step, where it has one. The project's own graphs use this.

    Such an operation is faster. It has no second gradient and no forward mode, and neither XLA nor TFLite knows it.
    """
    before = _FUSED.set(True)
    try:
        yield
    finally:
        _FUSED.reset(before)


def is_fused() -> bool:
    """Return whether layers are traced within `fused_steps`."""
    return _FUSED.get()


class Recurrent(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A recurrent layer: sequences [batch, steps, inputs] -> last output [batch, units].

    A subclass is a cell type. It states its numbers of gates and states, and runs a block of steps.
    """

    gates: int  # number of products with `units` columns in a step
    state_count: int  # number of tensors [n, units] that one step hands to the next
    stock: type[keras.layers.Layer] | None = None  # Keras's own layer with the same mathematics and weights, or None
    stateful, states = False, None  # read by Keras's Bidirectional: no state is kept from call to call
    _start_bias: Any = "zeros"  # initializer

    def __init__(
        self,
        units: int,
        *,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        **base: Any,
    ) -> None:
        """Describe the layer.

        Args:
            units: Width of the state.
            return_sequences: Return the outputs of all steps [batch, steps, units] instead of the last one.
            return_state: Return the final states as well.
            go_backwards: Read the last step first. The outputs of all steps are in that order too, as in Keras.
            kernel_initializer: Initializer of the inputs' weights.
            recurrent_initializer: Initializer of the state's weights.
            base: Arguments of every Keras layer: name, dtype, trainable.

        Raises:
            ValueError: `units` is not a whole number from 1.
        """
        super().__init__(**base)
        if not isinstance(units, int) or units < 1:  # type: ignore[redundant-expr]  # Keras's callers have no types
            raise ValueError(f"units = {units!r} is impossible: it must be a whole number from 1")
        self.units = units
        self.return_sequences, self.return_state, self.go_backwards = return_sequences, return_state, go_backwards
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for sequences of shape [batch, steps, inputs].

        Raises:
            ValueError: The shape has not three dimensions, or the number of inputs is unknown.
        """
        if len(input_shape) != 3 or input_shape[2] is None:
            raise ValueError(f"{self.name} reads sequences [batch, steps, inputs], not a shape of {input_shape}")
        width = self.gates * self.units
        self.kernel = self.add_weight((input_shape[2], width), initializer=self.kernel_initializer, name="kernel")
        self.recurrent_kernel = self.add_weight(
            (self.units, width), initializer=self.recurrent_initializer, name="recurrent_kernel"
        )
        self.bias = self.add_weight(self._bias_shape(), initializer=self._start_bias, name="bias")

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None) -> Any:
        """Run sequences through the cell.

        Args:
            sequences: Sequences [batch, steps, inputs] of at least one step.
            initial_state: State before the first step [batch, units], a list of two for the LSTM; None means zeros.
            mask: Always None: every step is read.

        Returns:
            The last output [batch, units], or with `return_sequences` all outputs [batch, steps, units]. With
            `return_state` it is a list of this and the final states.

        Raises:
            ValueError: A mask is given, or a wrong number of initial states.
        """
        if mask is not None:
            raise ValueError(f"{self.name} can't leave out steps: masks are not supported")
        sequences = tf.convert_to_tensor(sequences)
        if self.go_backwards:
            sequences = tf.reverse(sequences, [1])  # [batch, steps, inputs]
        steps = sequences.shape[1]
        run = self._block if steps is not None and steps <= _BLOCK_STEPS else self._blocks
        by_step = tf.transpose(sequences, [1, 0, 2])  # [steps, batch, inputs]
        *outputs, states = self._split(run(by_step, self._starts(initial_state, sequences)))
        last = tf.transpose(outputs[0], [1, 0, 2]) if outputs else states[0]  # [batch, steps, units] or [batch, units]
        return [last, *states] if self.return_state else last

    def compute_output_shape(self, sequences_shape: tuple[int | None, ...], *_: Any) -> Any:
        """Return the shapes of what `call` returns."""
        batch, steps, _inputs = sequences_shape
        last = (batch, self.units)
        outputs = (batch, steps, self.units) if self.return_sequences else last
        return (outputs, *[last] * self.state_count) if self.return_state else outputs

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild the layer."""
        config: dict[str, Any] = super().get_config()
        return config | {
            "units": self.units,
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": keras.initializers.serialize(self.recurrent_initializer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Rebuild the layer. Models of earlier versions also name `shards`, which changed nothing but roundings."""
        return super().from_config({key: value for key, value in config.items() if key != "shards"})

    def _starts(self, initial_state: Any, sequences: tf.Tensor) -> Tensors:
        """Return the initial states [batch, units] as a list: the given ones, or zeros."""
        if initial_state is None:
            zeros = tf.zeros([tf.shape(sequences)[0], self.units], sequences.dtype)  # [batch, units]
            return [zeros] * self.state_count
        given = list(initial_state) if isinstance(initial_state, list | tuple) else [initial_state]
        if len(given) != self.state_count:
            raise ValueError(f"{self.name} starts from {self.state_count} states [batch, units], not from {len(given)}")
        return [tf.convert_to_tensor(one) for one in given]

    def _blocks(self, by_step: tf.Tensor, states: Tensors) -> Tensors:
        """Do what `_block` does for more steps, or an unknown number: a loop of blocks, then the steps left over."""
        steps, _, inputs = by_step.shape
        block = 1 if steps is None else _BLOCK_STEPS
        blocks, size = tf.shape(by_step)[0] // block, tf.shape(by_step)[1]
        written = tf.TensorArray(by_step.dtype, blocks, element_shape=[block, None, self.units])

        def body(k: tf.Tensor, written: tf.TensorArray, *before: tf.Tensor) -> tuple[Any, ...]:
            part = tf.ensure_shape(by_step[k * block : (k + 1) * block], [block, None, inputs])  # [block, n, inputs]
            *outputs, after = self._split(self._block(part, list(before)))
            return k + 1, written.write(k, outputs[0]) if outputs else written, *after

        _, written, *states = tf.while_loop(lambda k, *_: k < blocks, body, (0, written, *states))
        # The blocks' outputs one after the other, of shape [blocks * block, n, units].
        every = [tf.reshape(written.stack(), [blocks * block, size, self.units])] if self.return_sequences else []
        if left := (steps or 0) % block:
            *outputs, states = self._split(self._block(by_step[-left:], states))
            every = [tf.concat([*every, *outputs], 0)] if outputs else []  # [steps, n, units]
        return [*every, *states]

    def _split(self, results: Tensors) -> list[Any]:
        """Return the results of `_block` as the outputs, if there are any, and one list of the states."""
        return [*results[: -self.state_count], results[-self.state_count :]]

    def _block(self, by_step: tf.Tensor, states: Tensors) -> Tensors:
        """Unroll the steps of [steps, n, inputs].

        Returns:
            With `return_sequences` first the outputs [steps, n, units]; then the final states, each [n, units].
        """
        raise NotImplementedError

    def _projected(self, by_step: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        """Return the product of all steps' inputs with the kernel, plus a bias: [steps, n, gates * units]."""
        steps, _, inputs = by_step.shape
        product = tf.reshape(by_step, [-1, inputs]) @ self.kernel.value + bias  # [steps * n, gates * units]
        # All sizes are given: TensorFlow can't compute -1 where a small batch leaves a shard empty.
        return tf.reshape(product, [steps, tf.shape(by_step)[1], self.gates * self.units])

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)
