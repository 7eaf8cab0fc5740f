"""Put the data set's verified raw files into data/raw."""

from typing import TYPE_CHECKING

from seqmnist import config
from seqmnist.config import Data
from seqmnist.data import raw, sources
from seqmnist.experiments import run_stage
from seqmnist.paths import RAW
from seqmnist.runs import data_sets

if TYPE_CHECKING:
    from seqmnist.tracking.runs import Run


def main() -> None:
    """Run the stage."""
    from seqmnist.tracking.runs import RunRequest, stage_run

    configuration = config.load()
    data = configuration.data
    request = RunRequest("download", "download", extra_tags=data_sets.tags(data))
    with stage_run(configuration.tracking, request) as run:
        log_inputs(run, data)
        RAW.mkdir(parents=True, exist_ok=True)
        for name in raw.remove_others(RAW, data.files.all()):
            print(f"{RAW / name}: removed, it does not belong to {data.name}")
        sources.fetch(data, RAW)
        log_results(run, data)
    for file in data.files.all():
        print(f"{file.sha256}  {file.name}")


def log_inputs(run: "Run", data: Data) -> None:
    """Tell MLflow what the stage is asked for."""
    run.params({"data": data.model_dump()})


def log_results(run: "Run", data: Data) -> None:
    """Tell MLflow what the stage made."""
    data_sets.log_raw(run, data)
    run.metrics({f"data.{file.name}.bytes": file.bytes for file in data.files.all()})


if __name__ == "__main__":
    run_stage(main)
