"""Put the data set's verified raw files into data/raw."""

from accord.experiments import run_stage
from seqmnist import config
from seqmnist.data import raw, sources
from seqmnist.paths import RAW
from seqmnist.runs import stage_runs


def main() -> None:
    """Run the stage."""
    configuration = config.load()
    data = configuration.data
    with stage_runs.started(configuration, "download") as run:
        run.params({"data": data.model_dump()})
        RAW.mkdir(parents=True, exist_ok=True)
        for name in raw.remove_others(RAW, data.files.all()):
            print(f"{RAW / name}: removed, it does not belong to {data.name}")
        sources.fetch(data, RAW)
        stage_runs.log_download_results(run, data)
    for file in data.files.all():
        print(f"{file.sha256}  {file.name}")


if __name__ == "__main__":
    run_stage(main)
