"""Make MLflow complete from what DVC holds: `seqmnist sync`."""

import json
from typing import Any

from seqmnist import config
from seqmnist.config import Config
from seqmnist.data import splits
from seqmnist.errors import UserError
from seqmnist.paths import METRICS, PROCESSED
from seqmnist.stages import download, evaluate, preprocess
from seqmnist.tracking.away import ServerAway
from seqmnist.tracking.identity import data_sha256
from seqmnist.tracking.lineage import found_or_restored
from seqmnist.tracking.mending import mend
from seqmnist.tracking.registry import register
from seqmnist.tracking.runs import Run


def sync() -> None:
    """Find the run of every stage by the digest of its outputs, complete those cut off, and log those that have none.

    What earlier versions logged is mended before. A second time it changes nothing. Every run that it finds or makes
    has the digest of params.yaml in its tag `config.sha256`.

    Raises:
        UserError: outputs are missing, or are not those of params.yaml; or the store can't be used.
    """
    try:
        _sync()
    except ServerAway as away:
        raise UserError(f"{away}. The results here are complete; once it is back, `seqmnist sync` sends them") from None


def _sync() -> None:
    configuration = config.load()
    for line in mend(configuration.tracking):  # also where outputs are missing
        print(line)
    histories = evaluate.read_histories(configuration)
    metrics = _metrics()
    data = splits.load_all(PROCESSED)
    summary = splits.summary(data)
    _sync_data(configuration, summary)
    trained = evaluate.training_runs(configuration, histories, data, summary)
    _sync_evaluation(configuration, summary, trained, metrics)
    print(register(configuration, trained, summary["validation"]["sha256"]))


def _metrics() -> dict[str, Any]:
    try:
        metrics: dict[str, Any] = json.loads(METRICS.read_text())
    except (FileNotFoundError, ValueError):
        raise UserError(f"{METRICS} is missing or broken: run `dvc repro`") from None
    return metrics


def _sync_data(configuration: Config, summary: splits.Summary) -> None:
    data = configuration.data

    def log_download(run: Run) -> None:
        download.log_inputs(run, data)
        download.log_results(run, data)

    def log_preprocess(run: Run) -> None:
        preprocess.log_inputs(run, data)
        preprocess.log_results(run, data, summary)

    found_or_restored(configuration, "download", "download", {"data.sha256": data_sha256(data)}, log_download)
    found_or_restored(configuration, "preprocess", "preprocess", preprocess.identity(summary), log_preprocess)


def _sync_evaluation(
    configuration: Config, summary: splits.Summary, trained: list[str], metrics: dict[str, Any]
) -> None:
    def log(run: Run) -> None:
        evaluate.log_inputs(run, configuration, summary, trained)
        evaluate.log_results(run, metrics)

    found_or_restored(configuration, "evaluate", "evaluate", evaluate.identity(), log)
