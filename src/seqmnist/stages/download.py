"""Put the data set's verified raw files into data/raw."""

from seqmnist import config
from seqmnist.data import raw, sources
from seqmnist.errors import run_command
from seqmnist.paths import RAW


def main() -> None:
    data = config.load().data
    RAW.mkdir(parents=True, exist_ok=True)
    for name in raw.remove_others(RAW, data.files.all()):
        print(f"{RAW / name}: removed, it does not belong to {data.name}")
    sources.fetch(data, RAW)
    for file in data.files.all():
        print(f"{file.sha256}  {file.name}")


if __name__ == "__main__":
    run_command(main)
