"""The MLflow runs of stages, the data sets that they read and write, and what download and preprocess log."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from accord.files import sha256_json
from seqmnist.config import Config, Data, SplitName
from seqmnist.data.splits import SUMMARY, Summary
from seqmnist.paths import PROCESSED, RAW

if TYPE_CHECKING:
    from accord.tracking.runs import Run, RunRequest

CONTEXTS: dict[SplitName, str] = {"train": "training", "validation": "validation", "test": "testing"}


def data_sha256(data: Data) -> str:
    """Return one digest for the four raw files, computed from their names and SHA-256."""
    return sha256_json(_digests(data))


def data_tags(data: Data) -> dict[str, str]:
    """Return the tag that finds the runs of a data set."""
    return {"data.sha256": data_sha256(data)}


def log_raw(run: "Run", data: Data) -> None:
    """Log the raw files as one data set."""
    run.dataset(data.name, data_sha256(data), RAW, _digests(data), "raw")


def log_splits(run: "Run", data: Data, summary: Summary) -> None:
    """Log each split of a summary as a data set."""
    for name, split in summary.items():
        run.dataset(f"{data.name}.{name}", split["sha256"], PROCESSED, dict(split), CONTEXTS[name])


def request(configuration: Config, stage: str) -> "RunRequest":
    """Describe the run of a stage."""
    from accord.tracking.runs import RunRequest

    return RunRequest(stage, stage, extra_tags=data_tags(configuration.data))


def started(configuration: Config, stage: str) -> "AbstractContextManager[Run]":
    """Start the run of a stage as a context manager. The run ends with the block."""
    from accord.tracking.runs import stage_run

    return stage_run(configuration.tracking, request(configuration, stage))


def log_download_results(run: "Run", data: Data) -> None:
    """Log the raw files."""
    log_raw(run, data)
    run.metrics({f"data.{file.name}.bytes": file.bytes for file in data.files.all()})


def log_preprocess_inputs(run: "Run", data: Data) -> None:
    """Log what the stage preprocess reads."""
    run.params({"data": data.model_dump()})
    log_raw(run, data)


def log_preprocess_results(run: "Run", data: Data, summary: Summary) -> None:
    """Log the splits."""
    log_splits(run, data, summary)
    run.metrics({f"data.{name}.images": part["images"] for name, part in summary.items()})
    run.artifact(PROCESSED / SUMMARY)
    run.tags(preprocess_identity(summary))


def preprocess_identity(summary: Summary) -> dict[str, str]:
    """Return the tag with the digest of the splits."""
    return {"splits.sha256": sha256_json(summary)}


def _digests(data: Data) -> dict[str, str]:
    return {file.name: file.sha256 for file in data.files.all()}
