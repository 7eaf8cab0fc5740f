"""Check the raw files and write the splits to data/processed."""

from accord.experiments import run_stage
from accord.files import write_json
from seqmnist import config
from seqmnist.data import splits
from seqmnist.paths import PROCESSED, RAW
from seqmnist.runs import stage_runs


def main() -> None:
    """Run the stage."""
    configuration = config.load()
    data = configuration.data
    with stage_runs.started(configuration, "preprocess") as run:
        stage_runs.log_preprocess_inputs(run, data)
        parts = splits.read_raw(RAW, data)
        splits.save(PROCESSED, parts)
        summary = splits.summary(parts)
        write_json(PROCESSED / splits.SUMMARY, summary)
        stage_runs.log_preprocess_results(run, data, summary)
    print(table(summary))


def table(summary: splits.Summary) -> str:
    """Return the number of images of each split and class, as text in columns."""
    head = f"{'split':<10} {'images':>7} " + " ".join(f"{digit:>5}" for digit in range(splits.CLASSES))
    rows = [
        f"{name:<10} {part['images']:>7} " + " ".join(f"{count:>5}" for count in part["classes"])
        for name, part in summary.items()
    ]
    return "\n".join([head, *rows])


if __name__ == "__main__":
    run_stage(main)
