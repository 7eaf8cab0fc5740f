"""Restoring of the MLflow runs of all stages from the stages' outputs."""

import json
from collections.abc import Callable

from accord.errors import UserError
from accord.tracking.restore import found_or_restored
from accord.tracking.runs import Run
from seqmnist import config
from seqmnist.data import splits
from seqmnist.paths import METRICS, PROCESSED
from seqmnist.runs import evaluation_run, stage_runs
from seqmnist.runs.models import register
from seqmnist.runs.training_run import all_in_mlflow
from seqmnist.training.outputs import read_histories


def restore_stages() -> None:
    """Find each stage's run by the digest of its outputs. Complete interrupted runs, and log missing ones.

    Raises:
        UserError: Outputs are missing or do not match params.yaml, or the store can't be used.
    """
    configuration = config.load()
    histories = read_histories(configuration)
    try:
        metrics = json.loads(METRICS.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        raise UserError(f"{METRICS} is missing or broken: run `dvc repro`") from None
    images, summary = splits.load_all(PROCESSED)
    data = configuration.data

    def log_download(run: Run) -> None:
        run.params({"data": data.model_dump()})
        stage_runs.log_download_results(run, data)

    def log_preprocess(run: Run) -> None:
        stage_runs.log_preprocess_inputs(run, data)
        stage_runs.log_preprocess_results(run, data, summary)

    def log_evaluation(run: Run) -> None:
        evaluation_run.log_inputs(run, configuration, summary, trained)
        evaluation_run.log_results(run, metrics)

    def restore(stage: str, identity: dict[str, str], log: Callable[[Run], None]) -> None:
        found_or_restored(configuration.tracking, stage_runs.request(configuration, stage), identity, log)

    restore("download", stage_runs.data_tags(data), log_download)
    restore("preprocess", stage_runs.preprocess_identity(summary), log_preprocess)
    trained = all_in_mlflow(configuration, histories, images, summary)
    restore("evaluate", evaluation_run.identity(), log_evaluation)
    print(register(configuration, trained, summary["validation"]["sha256"]))
