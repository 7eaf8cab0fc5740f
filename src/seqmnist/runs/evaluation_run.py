"""The MLflow run of the stage evaluate."""

from typing import TYPE_CHECKING, Any

from accord.files import sha256_file
from seqmnist.cells import saved
from seqmnist.config import Config
from seqmnist.data import splits
from seqmnist.measure.metrics import numbers
from seqmnist.paths import CLASSES, FIGURES, METRICS, PAGE, model_folder
from seqmnist.runs import data_sets

if TYPE_CHECKING:
    from accord.tracking.runs import Run


def log_inputs(run: "Run", configuration: Config, summary: splits.Summary, trained: list[str]) -> None:
    """Log what the stage evaluate reads; `trained` are the ids of the trainings' runs."""
    run.params(configuration.model_dump(include={"cells", "train", "sequence", "seeds"}))
    data_sets.log_splits(run, configuration.data, {"test": summary["test"]})
    run.tags({"train.runs": " ".join(trained)})
    run.tags({f"model.sha256.{cell}": model_digests(cell, configuration.seeds) for cell in configuration.cells})


def log_results(run: "Run", metrics: dict[str, Any]) -> None:
    """Log metrics, tables, figures and verdicts; `metrics` is the content of metrics.json."""
    run.metrics(numbers(metrics))
    for path in (METRICS, CLASSES, FIGURES, PAGE):
        run.artifact(path)
    run.tags({f"claim.{name}": one["verdict"] for name, one in metrics["claims"].items()})
    run.tags(identity())


def identity() -> dict[str, str]:
    """Return the tag with the digest of the metrics."""
    return {"metrics.sha256": sha256_file(METRICS)}


def model_digests(cell: str, seeds: list[int]) -> str:
    """Return the SHA-256 of the weights of each seed, separated by spaces."""
    return " ".join(sha256_file(saved.weights_file(model_folder(cell), seed)) for seed in seeds)
