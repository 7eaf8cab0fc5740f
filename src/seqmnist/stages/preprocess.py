"""Check the raw files and write the splits to data/processed."""

from typing import TYPE_CHECKING

from seqmnist import config
from seqmnist.config import Data
from seqmnist.data import splits
from seqmnist.experiments import run_stage
from seqmnist.files import sha256_json, write_json
from seqmnist.paths import PROCESSED, RAW
from seqmnist.runs import data_sets

if TYPE_CHECKING:
    from seqmnist.tracking.runs import Run


def main() -> None:
    """Run the stage."""
    from seqmnist.tracking.runs import RunRequest, stage_run

    configuration = config.load()
    data = configuration.data
    request = RunRequest("preprocess", "preprocess", extra_tags=data_sets.tags(data))
    with stage_run(configuration.tracking, request) as run:
        log_inputs(run, data)
        parts = splits.read_raw(RAW, data)
        splits.save(PROCESSED, parts)
        summary = splits.summary(parts)
        write_json(PROCESSED / splits.SUMMARY, summary)
        log_results(run, data, summary)
    print(table(summary))


def log_inputs(run: "Run", data: Data) -> None:
    """Tell MLflow what the stage reads."""
    run.params({"data": data.model_dump()})
    data_sets.log_raw(run, data)


def log_results(run: "Run", data: Data, summary: splits.Summary) -> None:
    """Tell MLflow what the stage made."""
    data_sets.log_splits(run, data, summary)
    run.metrics({f"data.{name}.images": part["images"] for name, part in summary.items()})
    run.artifact(PROCESSED / splits.SUMMARY)
    run.tags(identity(summary))


def identity(summary: splits.Summary) -> dict[str, str]:
    """The tag that says what came out."""
    return {"splits.sha256": sha256_json(summary)}


def table(summary: splits.Summary) -> str:
    """Images a split and a class, as text in columns."""
    head = f"{'split':<10} {'images':>7} " + " ".join(f"{digit:>5}" for digit in range(splits.CLASSES))
    rows = [
        f"{name:<10} {part['images']:>7} " + " ".join(f"{count:>5}" for count in part["classes"])
        for name, part in summary.items()
    ]
    return "\n".join([head, *rows])


if __name__ == "__main__":
    run_stage(main)
