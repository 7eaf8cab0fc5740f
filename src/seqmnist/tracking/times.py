"""How long epochs took: MLflow alone knows, since outputs hold no seconds."""

from seqmnist.settings import Tracking
from seqmnist.tracking.lineage import newest_finished
from seqmnist.tracking.runs import find_run
from seqmnist.tracking.store import open_store


def epoch_seconds(tracking: Tracking, metrics_sha256: str) -> dict[str, dict[str, list[float]]]:
    """The seconds of each epoch of the trainings that an evaluation is of, by cell and seed.

    Args:
        tracking: where MLflow is.
        metrics_sha256: the digest of the evaluation's metrics.json.

    Returns:
        Nothing of an evaluation or a training that MLflow does not know, or has without some of the times.

    Raises:
        UserError: the store can't be used.
    """
    client, experiment = open_store(tracking)
    evaluation = newest_finished(client, experiment, {"stage": "evaluate", "metrics.sha256": metrics_sha256})
    found: dict[str, dict[str, list[float]]] = {}
    for run_id in evaluation.data.tags["train.runs"].split() if evaluation else []:
        if (run := find_run(client, run_id)) is None:
            continue
        history = sorted(client.get_metric_history(run_id, "time.epoch_seconds"), key=lambda metric: metric.step)
        epochs = client.get_metric_history(run_id, "val.accuracy")
        if history and len(history) == len(epochs):  # a run that was completed from files has times of a part
            seeds = found.setdefault(run.data.tags["cell"], {})
            seeds[run.data.params["seed"]] = [metric.value for metric in history]
    return found
