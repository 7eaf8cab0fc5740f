"""The cells' equations in NumPy, step by step, to be read beside the notebook's section "LSTM Cell".

Each function takes a batch of sequences, and weights in Keras's order. It works in the dtype of its arguments (float32
or float64), and returns the outputs of all steps and the final state. Shapes: B sequences, T steps, D inputs, U units.
A dictionary passed as `trace` receives every named quantity as an array [B, T, U].
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Trace = dict[str, Array]


def rnn(
    x: Array,
    kernel: Array,
    recurrent_kernel: Array,
    bias: Array,
    h0: Array | None = None,
    *,
    trace: Trace | None = None,
) -> tuple[Array, Array]:
    """Run the basic recurrent cell (notebook, section "Basic RNNs"; Elman 1990).

    h(t) = tanh(x(t) W + h(t-1) U + b).

    Args:
        x: Sequences [B, T, D].
        kernel: Weights W of the inputs [D, U].
        recurrent_kernel: Weights U of the state [U, U].
        bias: Bias b [U].
        h0: State before the first step [B, U]; zeros if not given.
        trace: Dictionary that receives `h`.

    Returns:
        The outputs h(1) ... h(T) as [B, T, U], and the final state h(T) [B, U].
    """
    h = _zeros(x, recurrent_kernel) if h0 is None else h0
    steps: list[dict[str, Array]] = []
    for x_t in x.swapaxes(0, 1):  # [B, D]
        h = np.tanh(x_t @ kernel + h @ recurrent_kernel + bias)  # [B, U]
        steps.append({"h": h})
    return _collect(steps, trace), h


def lstm(
    x: Array,
    kernel: Array,
    recurrent_kernel: Array,
    bias: Array,
    h0: Array | None = None,
    c0: Array | None = None,
    *,
    trace: Trace | None = None,
) -> tuple[Array, tuple[Array, Array]]:
    """Run a long short-term memory (notebook, section "LSTM Cell"; Hochreiter and Schmidhuber 1997, Gers et al. 2000).

    - Input gate: i(t) = sigmoid(x(t) W_i + h(t-1) U_i + b_i).
    - Forget gate: f(t) = sigmoid(x(t) W_f + h(t-1) U_f + b_f).
    - New values: g(t) = tanh(x(t) W_g + h(t-1) U_g + b_g).
    - Output gate: o(t) = sigmoid(x(t) W_o + h(t-1) U_o + b_o).
    - Long-term state: c(t) = f(t) * c(t-1) + i(t) * g(t).
    - Short-term state and output: h(t) = o(t) * tanh(c(t)).

    Args:
        x: Sequences [B, T, D].
        kernel: Weights W_i, W_f, W_g, W_o of the inputs, side by side [D, 4 U].
        recurrent_kernel: Weights U_i, U_f, U_g, U_o of the state, side by side [U, 4 U].
        bias: Biases b_i, b_f, b_g, b_o [4 U].
        h0: Short-term state before the first step [B, U]; zeros if not given.
        c0: Long-term state before the first step [B, U]; zeros if not given.
        trace: Dictionary that receives `i`, `f`, `g`, `o`, `c`, `h`.

    Returns:
        The outputs h(1) ... h(T) as [B, T, U], and the final states (h(T), c(T)), each [B, U].
    """
    h = _zeros(x, recurrent_kernel) if h0 is None else h0
    c = _zeros(x, recurrent_kernel) if c0 is None else c0
    steps: list[dict[str, Array]] = []
    for x_t in x.swapaxes(0, 1):  # [B, D]
        z_i, z_f, z_g, z_o = np.split(x_t @ kernel + h @ recurrent_kernel + bias, 4, axis=1)  # each [B, U]
        i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)  # each [B, U]
        c = f * c + i * g  # [B, U]
        h = o * np.tanh(c)  # [B, U]
        steps.append({"i": i, "f": f, "g": g, "o": o, "c": c, "h": h})
    return _collect(steps, trace), (h, c)


def gru(
    x: Array,
    kernel: Array,
    recurrent_kernel: Array,
    bias: Array,
    h0: Array | None = None,
    *,
    trace: Trace | None = None,
) -> tuple[Array, Array]:
    """Run a gated recurrent unit (Cho et al. 2014), with the reset gate after the product as in cuDNN and Keras.

    - Update gate: z(t) = sigmoid(x(t) W_z + b_z + h(t-1) U_z + a_z).
    - Reset gate: r(t) = sigmoid(x(t) W_r + b_r + h(t-1) U_r + a_r).
    - New values: g(t) = tanh(x(t) W_g + b_g + r(t) * (h(t-1) U_g + a_g)).
    - State and output: h(t) = z(t) * h(t-1) + (1 - z(t)) * g(t).

    Args:
        x: Sequences [B, T, D].
        kernel: Weights W_z, W_r, W_g of the inputs, side by side [D, 3 U].
        recurrent_kernel: Weights U_z, U_r, U_g of the state, side by side [U, 3 U].
        bias: Rows (b_z, b_r, b_g) and (a_z, a_r, a_g) [2, 3 U].
        h0: State before the first step [B, U]; zeros if not given.
        trace: Dictionary that receives `z`, `r`, `g`, `h`.

    Returns:
        The outputs h(1) ... h(T) as [B, T, U], and the final state h(T) [B, U].
    """
    h = _zeros(x, recurrent_kernel) if h0 is None else h0
    steps: list[dict[str, Array]] = []
    for x_t in x.swapaxes(0, 1):  # [B, D]
        x_z, x_r, x_g = np.split(x_t @ kernel + bias[0], 3, axis=1)  # each [B, U]
        h_z, h_r, h_g = np.split(h @ recurrent_kernel + bias[1], 3, axis=1)  # each [B, U]
        z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)  # each [B, U]
        g = np.tanh(x_g + r * h_g)  # [B, U]
        h = z * h + (1 - z) * g  # [B, U]
        steps.append({"z": z, "r": r, "g": g, "h": h})
    return _collect(steps, trace), h


def sigmoid(x: Array) -> Array:
    """Return the logistic function 1 / (1 + exp(-x)) of each element, by tanh so that it never overflows."""
    half = x.dtype.type(0.5)
    result: Array = half * np.tanh(half * x) + half
    return result


def _zeros(x: Array, recurrent_kernel: Array) -> Array:
    return np.zeros((len(x), len(recurrent_kernel)), x.dtype)


def _collect(steps: list[dict[str, Array]], trace: Trace | None) -> Array:
    """Return the outputs [B, T, U], and put every step's quantities [B, T, U] into `trace`, if it is given."""
    if trace is not None:
        trace.update({name: np.stack([step[name] for step in steps], axis=1) for name in steps[0]})
    return np.stack([step["h"] for step in steps], axis=1)
