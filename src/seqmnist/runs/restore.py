"""Give MLflow the runs of all stages from their outputs."""

import json
from typing import Any

from seqmnist import config
from seqmnist.config import Config
from seqmnist.data import splits
from seqmnist.errors import UserError
from seqmnist.paths import METRICS, PROCESSED
from seqmnist.runs import data_sets, evaluation_run, stage_runs
from seqmnist.runs.registered import register
from seqmnist.runs.training_run import all_in_mlflow
from seqmnist.tracking.lineage import found_or_restored
from seqmnist.tracking.runs import Run
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
    trained = all_in_mlflow(configuration, histories, data, summary)
    _restore_evaluation(configuration, summary, trained, metrics)
    print(register(configuration, trained, summary["validation"]["sha256"]))


def _metrics() -> dict[str, Any]:
    try:
        metrics: dict[str, Any] = json.loads(METRICS.read_text())
    except (FileNotFoundError, ValueError):
        raise UserError(f"{METRICS} is missing or broken: run `dvc repro`") from None
    return metrics


def _restore_data(configuration: Config, summary: splits.Summary) -> None:
    data = configuration.data

    def log_download(run: Run) -> None:
        stage_runs.log_download_inputs(run, data)
        stage_runs.log_download_results(run, data)

    def log_preprocess(run: Run) -> None:
        stage_runs.log_preprocess_inputs(run, data)
        stage_runs.log_preprocess_results(run, data, summary)

    downloaded, preprocessed = (stage_runs.request(configuration, stage) for stage in ("download", "preprocess"))
    found_or_restored(configuration.tracking, downloaded, data_sets.tags(data), log_download)
    found_or_restored(configuration.tracking, preprocessed, stage_runs.preprocess_identity(summary), log_preprocess)


def _restore_evaluation(
    configuration: Config, summary: splits.Summary, trained: list[str], metrics: dict[str, Any]
) -> None:
    def log(run: Run) -> None:
        evaluation_run.log_inputs(run, configuration, summary, trained)
        evaluation_run.log_results(run, metrics)

    request = stage_runs.request(configuration, "evaluate")
    found_or_restored(configuration.tracking, request, evaluation_run.identity(), log)
