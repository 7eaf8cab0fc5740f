"""Trained models in MLflow: Keras models with a signature, which load without this package.

A registered model holds a version of every trained model of a data set.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqmnist.config import Config
from seqmnist.data.splits import CLASSES, SIZE

if TYPE_CHECKING:
    import keras


_DESCRIPTION = """\
Models of {data}: images uint8 [n, 28, 28] in, probabilities of the ten classes out.

Every evaluation makes a version of each model that it measured, once. The alias `champion` moves to a version whose
validation accuracy on the same images is higher; its tag `champion.because` says against what. Test figures choose
nothing.
`make serve` answers with the champion.
"""


def log_model(run_id: str, model: "keras.Model", example: NDArray[np.uint8], step: int) -> None:
    """Log a model of images uint8 [n, 28, 28] into a run.

    Args:
        run_id: Id of the run.
        model: Keras model.
        example: Images that show how the model is called, uint8 [n, 28, 28].
        step: Epoch of the weights. MLflow attaches only the run's metrics of this step to the model.
    """
    import tensorflow as tf
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    from accord.tracking import models

    # Tensors have no names: MLflow would pass named inputs as a dictionary, which the model does not accept.
    inputs = TensorSpec(np.dtype(np.uint8), (-1, SIZE, SIZE))
    outputs = TensorSpec(np.dtype(np.float32), (-1, CLASSES))
    logger = tf.get_logger()
    with ExitStack() as stack:
        stack.callback(logger.setLevel, logger.level)
        logger.setLevel("ERROR")  # each model is traced for its example: TensorFlow warns from the fifth on
        models.log_model(
            run_id,
            _KerasFlavor,
            step,
            ("keras", "tensorflow", "numpy"),
            model=model,
            signature=ModelSignature(inputs=Schema([inputs]), outputs=Schema([outputs])),
            input_example=example,
        )


class _KerasFlavor:
    """The flavour mlflow.keras, which makes the folder before MLflow writes the input example (mlflow/mlflow#16183)."""

    @staticmethod
    def save_model(path: str, **arguments: Any) -> None:
        import mlflow.keras

        Path(path).mkdir()
        mlflow.keras.save_model(path=path, **arguments)


def registered_name(data: str) -> str:
    """Return the name of the registered model of a data set."""
    return f"seqmnist-{data}"


def register(configuration: Config, run_ids: list[str], validation_sha256: str) -> str:
    """Register the models of the configuration's trainings; see `accord.tracking.registry.register`."""
    from accord.tracking import registry

    data = configuration.data.name
    name, description = registered_name(data), _DESCRIPTION.format(data=data)
    return registry.register(configuration.tracking, name, description, run_ids, validation_sha256)
