"""Variants of one training, by this project, Keras and PyTorch: each sets itself up once and then times epochs."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import CLASSES, Workload
from seqmnist.config import Train
from seqmnist.data.splits import Split

RATE = 0.001
SHARDS = 2
Epoch = Callable[[], float]  # trains one epoch and returns its seconds


def fast(work: Workload) -> Epoch:
    """Set up this project's layer in this project's trainer."""
    from seqmnist.training.runtime import start_tensorflow

    start_tensorflow(SHARDS)
    from seqmnist.training.trainer import Trainer

    images, labels = work.data()
    few = Split(images[:10], labels[:10])  # scoring is not timed
    recipe = Train(
        epochs=10**6,
        batch_size=work.batch,
        learning_rate=RATE,
        schedule="constant",
        clip_norm=None,
        label_smoothing=0.0,
        averaging=0.0,
        shift=0.0,
        rotation=0.0,
        zoom=0.0,
        shear=0.0,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
    )
    splits = {"train": Split(images, labels), "validation": few, "test": few}
    model = _images_model(work)
    trainer = Trainer(model, splits, recipe, seed=0, shards=SHARDS, progress=lambda _: None)  # type: ignore[arg-type]
    epochs = trainer.epochs()
    return lambda: next(epochs).seconds


def fast_fit(work: Workload) -> Epoch:
    """Set up this project's layer in Keras's `fit`, with this project's thread settings."""
    from seqmnist.training.runtime import start_tensorflow

    start_tensorflow(SHARDS)
    import keras
    import tensorflow as tf

    from seqmnist.training.graph import split_rows

    class InShards(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
        """The layer, run on the shards of a batch side by side, as the trainer runs it."""

        def __init__(self) -> None:
            super().__init__()
            self.fast = _fast_layer(work)

        def call(self, sequences: Any) -> Any:
            return tf.concat([self.fast(rows) for rows in split_rows(sequences, SHARDS)], 0)

    return _fitted(work, InShards())


def keras_default(work: Workload) -> Epoch:
    """Set up Keras's layer in Keras's `fit`."""
    return _fitted(work, _keras_layer(work, unroll=False))


def keras_unrolled(work: Workload) -> Epoch:
    """Set up Keras's layer, unrolled, in Keras's `fit`."""
    return _fitted(work, _keras_layer(work, unroll=True))


def pytorch(work: Workload) -> Epoch:
    """Set up PyTorch's layer with fused Adam."""
    import torch

    # As in TensorFlow. Over 784 steps gradients become subnormal numbers, with which an epoch takes ten times as long.
    torch.set_flush_denormal(True)
    kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[work.cell]
    cell = kind(work.inputs, work.units, batch_first=True)
    logits = torch.nn.Linear(work.units, CLASSES)
    x, y = (torch.from_numpy(array) for array in _sequences(work))
    optimizer = torch.optim.Adam([*cell.parameters(), *logits.parameters()], lr=RATE, fused=True)
    loss = torch.nn.CrossEntropyLoss()

    def epoch() -> float:
        start = time.perf_counter()
        for rows in torch.randperm(len(x)).split(work.batch):
            optimizer.zero_grad()
            outputs, _state = cell(x[rows])
            loss(logits(outputs[:, -1]), y[rows]).backward()
            optimizer.step()
        return time.perf_counter() - start

    return epoch


def peak(_work: Workload) -> Epoch:
    """Set up the measurement of the processor's peak: the fastest of 20 float32 products of 2048 x 2048 matrices."""
    import tensorflow as tf

    matrix = tf.random.stateless_normal((2048, 2048), (0, 0))

    def best() -> float:
        seconds = []
        for _ in range(20):
            start = time.perf_counter()
            tf.matmul(matrix, matrix).numpy()
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    return best


PEAK_FLOP = 2 * 2048**3
VARIANTS: dict[str, Callable[[Workload], Epoch]] = {
    "fast": fast,
    "fast in fit": fast_fit,
    "keras": keras_default,
    "keras unrolled": keras_unrolled,
    "pytorch": pytorch,
    "peak": peak,
}


def _images_model(work: Workload) -> Any:
    import keras

    image = keras.Input((28, 28), dtype="uint8")
    steps = keras.layers.Reshape((work.steps, work.inputs))(keras.layers.Rescaling(1 / 255)(image))
    return keras.Model(image, keras.layers.Dense(CLASSES)(_fast_layer(work)(steps)))


def _fast_layer(work: Workload) -> Any:
    from seqmnist.cells.layers import layer_class

    return layer_class(work.cell)(work.units)


def _keras_layer(work: Workload, *, unroll: bool) -> Any:
    from seqmnist.cells.layers import layer_class

    return layer_class(work.cell).stock(work.units, unroll=unroll)  # type: ignore[misc]  # these three have one


def _fitted(work: Workload, layer: Any) -> Epoch:
    import keras

    x, y = _sequences(work)
    model = keras.Sequential([keras.Input(x.shape[1:]), layer, keras.layers.Dense(CLASSES)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE), loss)

    def epoch() -> float:
        start = time.perf_counter()
        model.fit(x, y, batch_size=work.batch, epochs=1, verbose=0)
        return time.perf_counter() - start

    return epoch


def _sequences(work: Workload) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the images scaled to 0 to 1 and cut into steps, float32 [images, steps, inputs]; labels int64 [images]."""
    images, labels = work.data()
    return (images.reshape(-1, work.steps, work.inputs) / 255).astype(np.float32), labels.astype(np.int64)
