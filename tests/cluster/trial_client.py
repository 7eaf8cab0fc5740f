"""What one trial of a sweep tells a tracking server, without its training: `python trial_client.py NUMBER`."""

import sys
from pathlib import Path

from seqmnist import config
from seqmnist.tracking.runs import stage_run

EPOCHS = 50
METRICS = [f"{split}.{name}" for split in ("train", "val", "test") for name in ("loss", "accuracy")]
BYTES = 1_000_000


def main(number: int) -> None:
    """Log parameters, the metrics of every epoch, tags and an artifact into a run of its own."""
    artifact = Path(f"trial-{number}.bin")
    artifact.write_bytes(bytes([number % 256]) * BYTES)
    with stage_run(config.load(), "train", f"trial {number}", {"number": str(number)}, later=None) as run:
        run.params({"number": number})
        for epoch in range(EPOCHS):
            run.metrics(dict.fromkeys(METRICS, number + epoch / EPOCHS), step=epoch)
        run.tags({"done": "yes"})
        run.artifact(artifact)


if __name__ == "__main__":
    main(int(sys.argv[1]))
