"""The MLflow runs of stages, and what download and preprocess log."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from accord.files import sha256_json
from seqmnist.config import Config, Data
from seqmnist.data import splits
from seqmnist.paths import PROCESSED
from seqmnist.runs import data_sets

if TYPE_CHECKING:
    from accord.tracking.runs import Run, RunRequest


def request(configuration: Config, stage: str) -> "RunRequest":
    """Describe the run of a stage."""
    from accord.tracking.runs import RunRequest

    return RunRequest(stage, stage, extra_tags=data_sets.tags(configuration.data))


def started(configuration: Config, stage: str) -> "AbstractContextManager[Run]":
    """Start the run of a stage, which ends with the block."""
    from accord.tracking.runs import stage_run

    return stage_run(configuration.tracking, request(configuration, stage))


def log_download_results(run: "Run", data: Data) -> None:
    """Log the raw files."""
    data_sets.log_raw(run, data)
    run.metrics({f"data.{file.name}.bytes": file.bytes for file in data.files.all()})


def log_preprocess_inputs(run: "Run", data: Data) -> None:
    """Log what the stage preprocess reads."""
    run.params({"data": data.model_dump()})
    data_sets.log_raw(run, data)


def log_preprocess_results(run: "Run", data: Data, summary: splits.Summary) -> None:
    """Log the splits."""
    data_sets.log_splits(run, data, summary)
    run.metrics({f"data.{name}.images": part["images"] for name, part in summary.items()})
    run.artifact(PROCESSED / splits.SUMMARY)
    run.tags(preprocess_identity(summary))


def preprocess_identity(summary: splits.Summary) -> dict[str, str]:
    """Return the tag with the digest of the splits."""
    return {"splits.sha256": sha256_json(summary)}
