"""The MLflow run of one training."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from accord.files import sha256_file, sha256_json
from accord.tracking.registry import has_lost_model
from accord.tracking.restore import found_or_restored
from accord.tracking.runs import Run, RunRequest
from seqmnist.cells import saved
from seqmnist.cells.model import exported
from seqmnist.config import Config, SplitName
from seqmnist.data.splits import Split, Summary
from seqmnist.paths import model_folder
from seqmnist.runs import models, stage_runs
from seqmnist.runs.model_graph import log_graph
from seqmnist.training import history
from seqmnist.training.history import Row
from seqmnist.training.runtime import start_tensorflow
from seqmnist.training.setup import Training

if TYPE_CHECKING:
    import keras


def request(training: Training) -> RunRequest:
    """Return the request for a training's run, named like its stage, with the seed if there are several seeds."""
    several = len(training.configuration.seeds) > 1
    name = f"train@{training.cell}" + (f" seed={training.seed}" if several else "")
    tags = {"cell": training.cell}
    return RunRequest("train", name, tags=tags, extra_tags=stage_runs.data_tags(training.configuration.data))


def log_inputs(run: Run, training: Training, model: "keras.Model") -> None:
    """Log a training's parameters and data sets, and the graph of its model."""
    run.params(training.configuration.parameters_of(training.cell, training.seed))
    stage_runs.log_splits(run, training.configuration.data, training.summary)
    log_graph(run, model)


def log_results(run: Run, training: Training, model: "keras.Model", rows: list[Row]) -> None:
    """Log the trained model, its selected and last metrics, and the identity tags."""
    best, last = history.selected(rows), rows[-1]
    run.metrics(history.figures("selected", best), step=best.epoch)
    run.model(lambda run_id: _log_model(run_id, training, model, best.epoch))
    run.metrics(history.figures("last", last), step=last.epoch)  # after the model, to which MLflow would attach them
    run.tags(identity(training, rows))


def _log_model(run_id: str, training: Training, model: "keras.Model", epoch: int) -> None:
    keras_model = exported(model, training.cell_config, training.configuration.sequence)
    models.log_model(run_id, keras_model, training.data["test"].images[:1], epoch)  # uint8 [1, 28, 28]


def _load(training: Training) -> "keras.Model":
    """Load a training's model from the pipeline's outputs."""
    if "tensorflow" not in sys.modules:  # takes seconds; needed only if a model is missing
        start_tensorflow(training.cell_config.shards)
    model, _ = saved.load(model_folder(training.cell), training.seed)
    return model


def identity(training: Training, rows: list[Row]) -> dict[str, str]:
    """Return two tags: the digest of the weights, and the digest of weights, history, recipe and data together."""
    model = sha256_file(saved.weights_file(model_folder(training.cell), training.seed))
    content = {
        "model": model,
        "history": [[row.epoch, row.metrics] for row in rows],
        "recipe": training.recipe,
        "data": training.digests,
    }
    return {"model.sha256": model, "train.sha256": sha256_json(content)}


def in_mlflow(training: Training, request: RunRequest, rows: list[Row]) -> str:
    """Return the id of a finished training's run. If there is none, log a run from the training's outputs."""

    def log(run: Run) -> None:
        model = _load(training)
        log_inputs(run, training, model)
        for row in rows:
            run.metrics(row.metrics, step=row.epoch)
        log_results(run, training, model, rows)

    return found_or_restored(training.configuration.tracking, request, identity(training, rows), log)


def all_in_mlflow(
    configuration: Config, histories: Mapping[str, list[Row]], data: Mapping[SplitName, Split], summary: Summary
) -> list[str]:
    """Return the run ids of all trainings of the pipeline. Log missing runs from the trainings' outputs."""
    run_ids = []
    for cell in configuration.cells:
        for seed, rows in history.by_seed(histories[cell]).items():
            training = Training(configuration, cell, seed, data, summary)
            run_id = in_mlflow(training, request(training), rows)
            if has_lost_model(configuration.tracking, run_id):
                _log_model(run_id, training, _load(training), history.selected(rows).epoch)
                print(f"{request(training).name}: MLflow had lost the files of its model: logged again", flush=True)
            run_ids.append(run_id)
    return run_ids
