"""The stage train written with Keras's own layers, `fit` and callbacks, and MLflow's own calls.

`benchmarks.pipeline` runs it at a repository's root: `python -m benchmarks.keras_stage CELL`. It supports only the
settings of the default recipe and refuses others.
"""

import sys
import time
from pathlib import Path
from typing import Any

import keras
import mlflow
import tensorflow as tf
from mlflow.models import infer_signature

from accord.errors import UserError
from accord.process import run_command
from accord.settings import flatten
from seqmnist import config
from seqmnist.data import splits
from seqmnist.data.splits import CLASSES, SIZE, Split
from seqmnist.paths import PROCESSED
from seqmnist.training.history import Row, summary

LAYERS = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM}
SCORED = 1_000  # images a batch in validation and test
_UNUSED = {  # settings that this stage lacks, with the values by which the default recipe turns them off
    "schedule": "constant",
    "clip_norm": None,
    **dict.fromkeys(("label_smoothing", "averaging", "shift", "rotation", "zoom", "shear"), 0),
}
_NAMES = {"loss": "train.loss", "accuracy": "train.accuracy", "val_loss": "val.loss", "val_accuracy": "val.accuracy"}


class Epochs(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """A callback that logs each epoch's metrics, test scores and training seconds to MLflow, as the stage does."""

    def __init__(self, seed: int, images: int, test: Split) -> None:
        super().__init__()
        self._seed, self._images, self._test = seed, images, test
        self.rows: list[Row] = []

    def on_epoch_begin(self, _epoch: int, _logs: dict[str, float] | None = None) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_test_begin(self, _logs: dict[str, float] | None = None) -> None:
        """Stop the clock: training is over and validation begins."""
        self._seconds = time.perf_counter() - self._start

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Score the test images and log the epoch's metrics to MLflow."""
        metrics = {ours: logs[theirs] for theirs, ours in _NAMES.items()}
        loss, accuracy = self.model.evaluate(self._test.images, self._test.labels, batch_size=SCORED, verbose=0)
        metrics |= {"test.loss": loss, "test.accuracy": accuracy}
        self.rows.append(Row(self._seed, epoch, metrics))
        speed = {"time.epoch_seconds": self._seconds, "time.examples_per_second": self._images / self._seconds}
        mlflow.log_metrics(metrics | speed, step=epoch)


def main() -> None:
    """Train the cell named on the command line and log the model of its best validation epoch."""
    cell = sys.argv[1]
    configuration = config.load()
    recipe = configuration.train_of(cell)
    check(configuration, recipe)
    (seed,) = configuration.seeds
    data, _ = splits.load_all(PROCESSED)
    train, validation = data["train"], data["validation"]
    keras.utils.set_random_seed(seed)
    model = compiled(cell, configuration.cells[cell].units, recipe)
    best = Path("models") / f"keras-{cell}.keras"
    best.parent.mkdir(exist_ok=True)
    epochs = Epochs(seed, len(train), data["test"])
    mlflow.set_experiment(configuration.tracking.experiment)
    with mlflow.start_run(run_name=f"keras@{cell}"):
        mlflow.log_params(flatten(configuration.parameters_of(cell, seed)))
        model.fit(
            train.images,
            train.labels,
            batch_size=recipe.batch_size,
            epochs=recipe.epochs,
            validation_data=(validation.images, validation.labels),
            validation_batch_size=SCORED,
            callbacks=[epochs, keras.callbacks.ModelCheckpoint(best, monitor="val_accuracy", save_best_only=True)],
            verbose=2,
        )
        mlflow.log_metrics(summary(epochs.rows))
        log_model(keras.saving.load_model(best), data["test"])


def check(configuration: config.Config, recipe: config.Train) -> None:
    """Refuse settings that only the project's own stage train supports.

    Raises:
        UserError: A setting differs from the one value that this stage supports.
    """
    used = {f"train.{key}": (getattr(recipe, key), value) for key, value in _UNUSED.items()}
    used["sequence.view"] = configuration.sequence.view, "rows"
    used["number of seeds"] = len(configuration.seeds), 1
    for key, (given, supported) in used.items():
        if given != supported:
            raise UserError(f"{key} = {given}: this benchmark supports only {supported}")


def compiled(cell: str, units: int, recipe: config.Train) -> Any:
    """Return the compiled model, which maps images uint8 [n, 28, 28] to logits float32 [n, 10]."""
    image = keras.Input((SIZE, SIZE), dtype="uint8")
    rows = keras.layers.Rescaling(1 / 255)(image)
    model = keras.Model(image, keras.layers.Dense(CLASSES)(LAYERS[cell](units)(rows)))
    optimizer = keras.optimizers.Adam(recipe.learning_rate, recipe.beta_1, recipe.beta_2, recipe.epsilon)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def log_model(model: Any, test: Split) -> None:
    """Log a model to MLflow with its signature and requirements."""
    images = test.images[:1]
    # Without explicit requirements MLflow would load the model in another process to infer them.
    pins = [f"keras=={keras.__version__}", f"tensorflow=={tf.__version__}"]
    signature = infer_signature(images, model.predict(images, verbose=0))
    mlflow.keras.log_model(model, name="model", signature=signature, pip_requirements=pins)


if __name__ == "__main__":
    run_command(main)
