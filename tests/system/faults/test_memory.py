"""The memory of a training grows by no more than its data."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from seqmnist.data.idx import parse_idx

pytestmark = pytest.mark.slow

TIMES = 10
TRAININGS = 3  # for each measurement
_PEAK = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
    " print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
)


@pytest.mark.campaign
def test_memory_grows_by_at_most_five_percent_more_than_the_data(unrun: Any, tmp_path: Path) -> None:
    once, once_bytes = peak_of_training(unrun, "mnist")
    make_tenfold(unrun, tmp_path / "tenfold")
    tenfold, tenfold_bytes = peak_of_training(unrun, "tenfold")
    growth, data = tenfold - once, tenfold_bytes - once_bytes
    print(f"memory: {once / 1e6:.0f} MB, {tenfold / 1e6:.0f} MB with {data / 1e6:.0f} MB more of data")
    assert data > 380e6
    # An image has 784 bytes; the epoch's order takes 12 more for each.
    assert growth < 1.05 * data


def peak_of_training(project: Any, data: str) -> tuple[int, int]:
    """Return the peak resident memory of a training of one epoch and the size of its images, both in bytes."""
    base = project.root / "conf/base.yaml"
    base.write_text(
        base.read_text().replace("- data: tiny", f"- data: {data}").replace("- data: mnist", f"- data: {data}")
    )
    project.succeed("dvc", "repro", "preprocess")
    command = ("python", "-m", "seqmnist.stages.train", "rnn")
    # Equal trainings differ by about 20 MB with the timing of TensorFlow's threads, so the smallest value counts.
    outputs = [project.succeed("python", "-c", _PEAK, *command, PYTHONPATH="src").output for _ in range(TRAININGS)]
    images = project.root / "data/processed/train.images.npy"
    return min(int(output.split()[-1]) for output in outputs), images.stat().st_size


def make_tenfold(project: Any, folder: Path) -> None:
    """Write a data set with ten times MNIST's training images, shifted by up to a pixel, as raw files; configure it."""
    values = yaml.safe_load((project.root / "conf/data/mnist.yaml").read_text())
    folder.mkdir()
    for key, file in values["files"].items():
        content = (project.root / "data/raw" / file["name"]).read_bytes()
        if key.startswith("train"):
            array = parse_idx(content, 3 if key == "train_images" else 1)
            parts = [
                np.roll(array, (k % 3 - 1, k // 3 - 1), (1, 2)) if array.ndim == 3 else array for k in range(TIMES)
            ]
            many = np.concatenate(parts)
            content = content[:4] + len(many).to_bytes(4, "big") + content[8 : 4 + 4 * many.ndim] + many.tobytes()
        (folder / file["name"]).write_bytes(content)
        file |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    values |= {"name": "tenfold", "sources": ["directory"], "directory": str(folder)}
    values["counts"]["train"] *= TIMES
    (project.root / "conf/data/tenfold.yaml").write_text(yaml.safe_dump(values))
