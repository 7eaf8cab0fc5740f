"""The MLflow run of the stage evaluate, and the durations of epochs, which are in MLflow alone."""

from typing import TYPE_CHECKING, Any

from accord.files import sha256_file
from accord.settings import Tracking
from seqmnist.cells import saved
from seqmnist.config import Config
from seqmnist.data import splits
from seqmnist.measure.metrics import numbers
from seqmnist.metric_names import VALIDATION_ACCURACY
from seqmnist.paths import CLASSES, FIGURES, METRICS, PAGE, model_folder
from seqmnist.runs import stage_runs

if TYPE_CHECKING:
    from accord.tracking.runs import Run


def log_inputs(run: "Run", configuration: Config, summary: splits.Summary, trained: list[str]) -> None:
    """Log the inputs of the stage evaluate. `trained` has the run ids of the trainings."""
    run.params(configuration.model_dump(include={"cells", "train", "sequence", "seeds"}))
    stage_runs.log_splits(run, configuration.data, {"test": summary["test"]})
    run.tags({"train.runs": " ".join(trained)})
    run.tags({f"model.sha256.{cell}": model_digests(cell, configuration.seeds) for cell in configuration.cells})


def log_results(run: "Run", metrics: dict[str, Any]) -> None:
    """Log metrics, tables, figures and verdicts. `metrics` is the content of metrics.json."""
    run.metrics(numbers(metrics))
    for path in (METRICS, CLASSES, FIGURES, PAGE):
        run.artifact(path)
    run.tags({f"claim.{name}": one["verdict"] for name, one in metrics["claims"].items()})
    run.tags(identity())


def identity() -> dict[str, str]:
    """Return the tag with the digest of the metrics."""
    return {"metrics.sha256": sha256_file(METRICS)}


def model_digests(cell: str, seeds: list[int]) -> str:
    """Return the SHA-256 of each seed's weights file, separated by spaces."""
    return " ".join(sha256_file(saved.weights_file(model_folder(cell), seed)) for seed in seeds)


def epoch_seconds(tracking: Tracking, metrics_sha256: str) -> dict[str, dict[str, list[float]]]:
    """Return the duration of each epoch in seconds, for every training of an evaluation, by cell and seed.

    Args:
        tracking: Configuration of the store.
        metrics_sha256: Digest of the evaluation's metrics.json.

    Returns:
        Cell -> seed -> seconds of each epoch. Trainings whose times are not all in MLflow are left out.

    Raises:
        UserError: The store can't be used.
    """
    from accord.tracking.restore import newest_finished
    from accord.tracking.runs import find_run
    from accord.tracking.store import open_store

    client, experiment = open_store(tracking)
    evaluation = newest_finished(client, experiment, {"stage": "evaluate", "metrics.sha256": metrics_sha256})
    found: dict[str, dict[str, list[float]]] = {}
    for run_id in evaluation.data.tags["train.runs"].split() if evaluation else []:
        if (run := find_run(client, run_id)) is None:
            continue
        history = sorted(client.get_metric_history(run_id, "time.epoch_seconds"), key=lambda metric: metric.step)
        epochs = client.get_metric_history(run_id, VALIDATION_ACCURACY)
        if history and len(history) == len(epochs):  # a run completed from files lacks the times of some epochs
            seeds = found.setdefault(run.data.tags["cell"], {})
            seeds[run.data.params["seed"]] = [metric.value for metric in history]
    return found
