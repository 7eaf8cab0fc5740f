"""Give MLflow the runs of all stages from their outputs."""

import json
from typing import Any

from seqmnist import config
from seqmnist.config import Config
from seqmnist.data import splits
from seqmnist.errors import UserError
from seqmnist.paths import METRICS, PROCESSED
from seqmnist.runs import data_sets
from seqmnist.runs.registered import register
from seqmnist.stages import download, evaluate, preprocess
from seqmnist.tracking.lineage import found_or_restored
from seqmnist.tracking.runs import Run, RunRequest
from seqmnist.training.outputs import read_histories


def restore_stages() -> None:
    """Find the run of every stage by the digest of its outputs, complete those cut off, and log those that have none.

    Raises:
        UserError: Outputs are missing, or are not those of params.yaml; or the store can't be used.
    """
    configuration = config.load()
    histories = read_histories(configuration)
    metrics = _metrics()
    data, summary = splits.load_all(PROCESSED)
    _restore_data(configuration, summary)
    trained = evaluate.training_runs(configuration, histories, data, summary)
    _restore_evaluation(configuration, summary, trained, metrics)
    print(register(configuration, trained, summary["validation"]["sha256"]))


def _metrics() -> dict[str, Any]:
    try:
        metrics: dict[str, Any] = json.loads(METRICS.read_text())
    except (FileNotFoundError, ValueError):
        raise UserError(f"{METRICS} is missing or broken: run `dvc repro`") from None
    return metrics


def _restore_data(configuration: Config, summary: splits.Summary) -> None:
    data, tags = configuration.data, data_sets.tags(configuration.data)

    def log_download(run: Run) -> None:
        download.log_inputs(run, data)
        download.log_results(run, data)

    def log_preprocess(run: Run) -> None:
        preprocess.log_inputs(run, data)
        preprocess.log_results(run, data, summary)

    downloaded, preprocessed = (RunRequest(name, name, extra_tags=tags) for name in ("download", "preprocess"))
    found_or_restored(configuration.tracking, downloaded, tags, log_download)
    found_or_restored(configuration.tracking, preprocessed, preprocess.identity(summary), log_preprocess)


def _restore_evaluation(
    configuration: Config, summary: splits.Summary, trained: list[str], metrics: dict[str, Any]
) -> None:
    def log(run: Run) -> None:
        evaluate.log_inputs(run, configuration, summary, trained)
        evaluate.log_results(run, metrics)

    request = RunRequest("evaluate", "evaluate", extra_tags=data_sets.tags(configuration.data))
    found_or_restored(configuration.tracking, request, evaluate.identity(), log)
