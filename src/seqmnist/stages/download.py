"""Put the data set's verified raw files into data/raw."""

from seqmnist import config
from seqmnist.data import raw, sources
from seqmnist.errors import run_command
from seqmnist.paths import RAW


def main() -> None:
    """Run the stage."""
    from seqmnist.tracking.runs import stage_run

    configuration = config.load()
    data = configuration.data
    with stage_run(configuration, "download", "download") as run:
        run.params({"data": data.model_dump()})
        RAW.mkdir(parents=True, exist_ok=True)
        for name in raw.remove_others(RAW, data.files.all()):
            print(f"{RAW / name}: removed, it does not belong to {data.name}")
        sources.fetch(data, RAW)
        run.raw_data(data)
        run.metrics({f"data.{file.name}.bytes": file.bytes for file in data.files.all()})
    for file in data.files.all():
        print(f"{file.sha256}  {file.name}")


if __name__ == "__main__":
    run_command(main)
