"""The cells' equations in NumPy, step by step, to be read beside the notebook's section "LSTM Cell".

Each function takes a batch of sequences and weights in Keras's order, works in the dtype of its arguments
(float32 or float64), and returns the outputs of all steps with the final state. Shapes: B sequences, T steps,
D inputs, U units. A dictionary passed as `trace` receives every named quantity as an array [B, T, U].
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
    """The basic recurrent cell (notebook, section "Basic RNNs"; Elman 1990).

        h(t) = tanh(x(t) W + h(t-1) U + b)

    Args:
        x: [B, T, D].
        kernel: W [D, U].
        recurrent_kernel: U [U, U].
        bias: b [U].
        h0: the state before the first step [B, U]; zeros if not given.
        trace: receives `h`.

    Returns:
        The outputs h(1) ... h(T) as [B, T, U], and the final state h(T) [B, U].
    """
    h = _zeros(x, recurrent_kernel) if h0 is None else h0
    steps: list[dict[str, Array]] = []
    for x_t in x.swapaxes(0, 1):  # [B, D]
        h = np.tanh(x_t @ kernel + h @ recurrent_kernel + bias)
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
    """Long short-term memory (notebook, section "LSTM Cell"; Hochreiter and Schmidhuber 1997, Gers et al. 2000).

        i(t) = sigmoid(x(t) W_i + h(t-1) U_i + b_i)      input gate: how much is written
        f(t) = sigmoid(x(t) W_f + h(t-1) U_f + b_f)      forget gate: how much is kept
        g(t) = tanh(x(t) W_g + h(t-1) U_g + b_g)         what is written
        o(t) = sigmoid(x(t) W_o + h(t-1) U_o + b_o)      output gate: how much is shown
        c(t) = f(t) * c(t-1) + i(t) * g(t)               long-term state
        h(t) = o(t) * tanh(c(t))                         short-term state and output

    Args:
        x: [B, T, D].
        kernel: W_i, W_f, W_g, W_o side by side [D, 4 U].
        recurrent_kernel: U_i, U_f, U_g, U_o side by side [U, 4 U].
        bias: b_i, b_f, b_g, b_o [4 U].
        h0: the short-term state before the first step [B, U]; zeros if not given.
        c0: the long-term state before the first step [B, U]; zeros if not given.
        trace: receives `i`, `f`, `g`, `o`, `c`, `h`.

    Returns:
        The outputs h(1) ... h(T) as [B, T, U], and the final states (h(T), c(T)), each [B, U].
    """
    h = _zeros(x, recurrent_kernel) if h0 is None else h0
    c = _zeros(x, recurrent_kernel) if c0 is None else c0
    steps: list[dict[str, Array]] = []
    for x_t in x.swapaxes(0, 1):  # [B, D]
        z_i, z_f, z_g, z_o = np.split(x_t @ kernel + h @ recurrent_kernel + bias, 4, axis=1)
        i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
        c = f * c + i * g
        h = o * np.tanh(c)
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
    """The gated recurrent unit (Cho et al. 2014), with the reset gate after the product as in cuDNN and Keras.

        z(t) = sigmoid(x(t) W_z + b_z + h(t-1) U_z + a_z)              update gate: how much is kept
        r(t) = sigmoid(x(t) W_r + b_r + h(t-1) U_r + a_r)              reset gate: how much of the past g sees
        g(t) = tanh(x(t) W_g + b_g + r(t) * (h(t-1) U_g + a_g))        what is written
        h(t) = z(t) * h(t-1) + (1 - z(t)) * g(t)

    Args:
        x: [B, T, D].
        kernel: W_z, W_r, W_g side by side [D, 3 U].
        recurrent_kernel: U_z, U_r, U_g side by side [U, 3 U].
        bias: the rows (b_z, b_r, b_g) and (a_z, a_r, a_g) [2, 3 U].
        h0: the state before the first step [B, U]; zeros if not given.
        trace: receives `z`, `r`, `g`, `h`.

    Returns:
        The outputs h(1) ... h(T) as [B, T, U], and the final state h(T) [B, U].
    """
    h = _zeros(x, recurrent_kernel) if h0 is None else h0
    steps: list[dict[str, Array]] = []
    for x_t in x.swapaxes(0, 1):  # [B, D]
        x_z, x_r, x_g = np.split(x_t @ kernel + bias[0], 3, axis=1)
        h_z, h_r, h_g = np.split(h @ recurrent_kernel + bias[1], 3, axis=1)
        z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
        g = np.tanh(x_g + r * h_g)
        h = z * h + (1 - z) * g
        steps.append({"z": z, "r": r, "g": g, "h": h})
    return _collect(steps, trace), h


def sigmoid(x: Array) -> Array:
    """The logistic function 1 / (1 + exp(-x)), by tanh so that it never overflows."""
    half = x.dtype.type(0.5)
    result: Array = half * np.tanh(half * x) + half
    return result


def _zeros(x: Array, recurrent_kernel: Array) -> Array:
    return np.zeros((len(x), len(recurrent_kernel)), x.dtype)


def _collect(steps: list[dict[str, Array]], trace: Trace | None) -> Array:
    """The outputs [B, T, U]; every step's quantities go to `trace` where one is wanted."""
    if trace is not None:
        trace.update({name: np.stack([step[name] for step in steps], axis=1) for name in steps[0]})
    return np.stack([step["h"] for step in steps], axis=1)
