"""Durations of epochs, which only MLflow knows: outputs hold no seconds."""

from accord.settings import Tracking
from accord.tracking.restore import newest_finished
from accord.tracking.runs import find_run
from accord.tracking.store import open_store
from seqmnist.metric_names import VALIDATION_ACCURACY


def epoch_seconds(tracking: Tracking, metrics_sha256: str) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each epoch of the trainings of an evaluation, by cell and seed.

    Args:
        tracking: Configuration of the store.
        metrics_sha256: Digest of the evaluation's metrics.json.

    Returns:
        Seconds by epoch; trainings that MLflow does not know, or has without some of the times, are left out.

    Raises:
        UserError: The store can't be used.
    """
    client, experiment = open_store(tracking)
    evaluation = newest_finished(client, experiment, {"stage": "evaluate", "metrics.sha256": metrics_sha256})
    found: dict[str, dict[str, list[float]]] = {}
    for run_id in evaluation.data.tags["train.runs"].split() if evaluation else []:
        if (run := find_run(client, run_id)) is None:
            continue
        history = sorted(client.get_metric_history(run_id, "time.epoch_seconds"), key=lambda metric: metric.step)
        epochs = client.get_metric_history(run_id, VALIDATION_ACCURACY)
        if history and len(history) == len(epochs):  # a run that was completed from files has times of a part
            seeds = found.setdefault(run.data.tags["cell"], {})
            seeds[run.data.params["seed"]] = [metric.value for metric in history]
    return found
