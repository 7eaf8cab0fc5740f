"""One MLflow run for each thing that a stage does."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.entities import Run as LoggedRun
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from seqmnist.config import Config, Data, SplitName, flatten
from seqmnist.data.splits import CLASSES, SIZE, Summary
from seqmnist.errors import Terminated, UserError, signals_waiting
from seqmnist.paths import PARAMS
from seqmnist.tracking.identity import data_sha256, identity_tags
from seqmnist.tracking.processes import end_stale_runs, process_tags
from seqmnist.tracking.store import open_store, reason

if TYPE_CHECKING:
    import keras

_CONTEXTS: dict[SplitName, str] = {"train": "training", "validation": "validation", "test": "testing"}
ERROR = "error"  # the tag that says why a run failed
_GRAPH = "graph"  # the artifacts' folder
_DIGEST = 32  # hexadecimal digits of a data set's digest that MLflow's column has room for


@contextmanager
def whole_transactions() -> Iterator[None]:
    """An exception of a signal would leave SQLite's transaction open, and the database locked for this very process."""
    with signals_waiting() if mlflow.get_tracking_uri().startswith("sqlite") else nullcontext():
        yield


class Run:
    """A running MLflow run: what can be logged into it.

    What a resumed run has already is left out: no metric stands twice at a step, and no second model is logged.
    """

    def __init__(self, run_id: str) -> None:
        self.id = run_id
        logged = mlflow.get_run(run_id)
        client = mlflow.MlflowClient()
        self._logged = {
            (name, point.step) for name in logged.data.metrics for point in client.get_metric_history(run_id, name)
        }
        models = logged.outputs.model_outputs if logged.outputs else []
        self._has_model = any(client.get_logged_model(one.model_id).status == "READY" for one in models)

    @whole_transactions()
    def params(self, values: Mapping[str, Any]) -> None:
        """Log nested values as parameters with dotted names."""
        flat = flatten(dict(values))
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in flat.items()}
        mlflow.log_params(texts, run_id=self.id)

    @whole_transactions()
    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics in one call, those of an epoch with its number as `step`."""
        new = {name: value for name, value in values.items() if (name, step or 0) not in self._logged}
        if new:
            mlflow.log_metrics(new, step=step, run_id=self.id)

    @whole_transactions()
    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        mlflow.set_tags(dict(values))

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file, or a folder's files, into the run's artifacts."""
        if path.is_dir():
            mlflow.log_artifacts(str(path), folder or path.name)
        else:
            mlflow.log_artifact(str(path), folder)

    def raw_data(self, data: Data) -> None:
        """Log the raw files as one data set."""
        files = {file.name: file.sha256 for file in data.files.all()}
        self._dataset(data.name, data_sha256(data), files, "raw")

    def splits(self, data: Data, summary: Summary) -> None:
        """Log each split as a data set with its digest."""
        for name, split in summary.items():
            self._dataset(f"{data.name}.{name}", split["sha256"], dict(split), _CONTEXTS[name])

    def graph(self, model: "keras.Model") -> None:
        """Log a picture of a model's graph and what TensorBoard draws it from, once."""
        from seqmnist.tracking.graphs import draw, write_tensorboard

        if mlflow.MlflowClient().list_artifacts(self.id, _GRAPH):
            return
        with tempfile.TemporaryDirectory() as folder:
            draw(model, Path(folder, "model.png"))
            write_tensorboard(model, Path(folder, "tensorboard"))
            self.artifact(Path(folder), _GRAPH)

    def model(self, model: "keras.Model", example: NDArray[np.uint8]) -> None:
        """Log a model of images uint8 [n, 28, 28]; `example` is such an array."""
        if self._has_model:
            return
        import keras
        import tensorflow as tf
        from mlflow.models import Model, ModelSignature
        from mlflow.types import Schema, TensorSpec

        # Without names: MLflow would pass named inputs as a dictionary, which the model does not take.
        inputs = TensorSpec(np.dtype(np.uint8), (-1, SIZE, SIZE))
        outputs = TensorSpec(np.dtype(np.float32), (-1, CLASSES))
        with _without_retracing_warnings():
            Model.log(
                artifact_path=None,
                flavor=_KerasFlavor,
                model=model,
                name="model",
                run_id=self.id,
                signature=ModelSignature(inputs=Schema([inputs]), outputs=Schema([outputs])),
                input_example=example,
                # Inferring the requirements would load the model in another process, for seconds.
                pip_requirements=[
                    f"keras=={keras.__version__}",
                    f"tensorflow=={tf.__version__}",
                    f"numpy=={np.__version__}",
                ],
            )

    @whole_transactions()
    def _dataset(self, name: str, sha256: str, profile: Mapping[str, Any], context: str) -> None:
        dataset = Dataset(
            name=name,
            digest=sha256[:_DIGEST],
            source_type="sha256",
            source=json.dumps({"sha256": sha256}),
            profile=json.dumps(profile),
        )
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])]
        try:
            mlflow.MlflowClient().log_inputs(self.id, inputs)
        except MlflowException:  # two processes that are the first to log a data set: one of them fails (3.17)
            mlflow.MlflowClient().log_inputs(self.id, inputs)


@contextmanager
def _without_retracing_warnings() -> Iterator[None]:
    """The model of each seed is traced anew for its example, of which TensorFlow warns from the fifth on."""
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


@contextmanager
def stage_run(
    config: Config, stage: str, name: str, tags: Mapping[str, str] | None = None, *, resume: str | None = None
) -> Iterator[Run]:
    """Start a run and end it as what it came to: FINISHED, FAILED with its error, or KILLED.

    Runs whose process was ended before it could say so become KILLED.

    Args:
        config: the pipeline's configuration.
        stage: download, preprocess, train or evaluate.
        name: of the run: the name of the stage in DVC.
        tags: further tags.
        resume: the id of a run to go on with, where this store has it.

    Raises:
        UserError: the store can't be used, or no longer.
    """
    client, experiment_id = open_store(config.tracking)
    mlflow.set_tracking_uri(client.tracking_uri)
    all_tags = {"stage": stage, **identity_tags(config.data), **process_tags(), **(tags or {})}
    try:
        end_stale_runs(client, experiment_id)
        run = _started(client, experiment_id, name, all_tags, resume)
    except MlflowException as error:
        raise refused(client, error) from None
    try:
        run.artifact(PARAMS)
        yield run
    except (KeyboardInterrupt, Terminated):
        mlflow.end_run("KILLED")
        raise
    except BaseException as error:
        with suppress(MlflowException):  # the error itself matters more
            run.tags({ERROR: " ".join(str(error).split()) or type(error).__name__})
            mlflow.end_run("FAILED")
        if isinstance(error, MlflowException):
            raise refused(client, error) from None
        raise
    mlflow.end_run("FINISHED")


def _started(
    client: mlflow.MlflowClient, experiment_id: str, name: str, tags: dict[str, str], resume: str | None
) -> Run:
    """A new run, or the one to resume where this experiment has it."""
    if resume and (before := find_run(client, resume)) and before.info.experiment_id == experiment_id:
        if ERROR in before.data.tags:
            client.delete_tag(resume, ERROR)
        mlflow.start_run(run_id=resume, tags=tags)
    else:
        mlflow.start_run(experiment_id=experiment_id, run_name=name, tags=tags)
    return Run(mlflow.active_run().info.run_id)


def find_run(client: mlflow.MlflowClient, run_id: str) -> LoggedRun | None:
    """The run with this id, unless it is deleted or the store has none."""
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None


def refused(client: mlflow.MlflowClient, error: MlflowException) -> UserError:
    """What a user is told of an exception of MLflow's."""
    return UserError(f"tracking: {client.tracking_uri}: {reason(error)}")
