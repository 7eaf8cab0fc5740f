"""Trained models in MLflow: Keras models with a signature, which load without this package."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqmnist.data.splits import CLASSES, SIZE

if TYPE_CHECKING:
    import keras


def log_model(run_id: str, model: "keras.Model", example: NDArray[np.uint8], step: int) -> None:
    """Log a model of images uint8 [n, 28, 28] into a run.

    Args:
        run_id: Id of the run.
        model: Keras model.
        example: Images that show how the model is called, uint8 [n, 28, 28].
        step: Epoch of the weights; the model gets the run's metrics of this step, and no others.
    """
    import keras
    import tensorflow as tf
    from mlflow import MlflowClient
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    # Without names: MLflow would pass named inputs as a dictionary, which the model does not take.
    inputs = TensorSpec(np.dtype(np.uint8), (-1, SIZE, SIZE))
    outputs = TensorSpec(np.dtype(np.float32), (-1, CLASSES))
    client = MlflowClient()
    run = client.get_run(run_id)
    made = client.create_logged_model(run.info.experiment_id, "model", run_id, params=run.data.params)
    with _without_retracing_warnings():
        Model.log(
            artifact_path=None,
            flavor=_KerasFlavor,
            model=model,
            model_id=made.model_id,
            run_id=run_id,
            signature=ModelSignature(inputs=Schema([inputs]), outputs=Schema([outputs])),
            input_example=example,
            step=step,
            # Inferring the requirements would load the model in another process, for seconds.
            pip_requirements=[
                f"keras=={keras.__version__}",
                f"tensorflow=={tf.__version__}",
                f"numpy=={np.__version__}",
            ],
        )


@contextmanager
def _without_retracing_warnings() -> Iterator[None]:
    """Silence TensorFlow, which warns of retracing from the fifth model on: each is traced anew for its example."""
    import tensorflow as tf

    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


class _KerasFlavor:
    """mlflow.keras, with the folder made before it writes the input example there (mlflow/mlflow#16183)."""

    @staticmethod
    def save_model(path: str, **arguments: Any) -> None:
        import mlflow.keras

        Path(path).mkdir()
        mlflow.keras.save_model(path=path, **arguments)
