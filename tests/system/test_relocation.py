"""A repository below a path with spaces, quotes and non-ASCII letters, where Keras and HDF5 read and write too."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.projects import Project

pytestmark = pytest.mark.slow

SWEEP = ("python", "-m", "seqmnist.sweep", "-m", "cell=rnn", "train.epochs=1", "hydra.sweep.dir=sweeps/x")


def test_a_copied_repository_trains_and_logs_models_in_its_own_folder(
    project: Project, serving: Any, tmp_path: Path
) -> None:
    root = tmp_path / "some where" / "mu\u0308ller (1) #2 %20 it's [x]; ?"
    copy = Project(Path(shutil.copytree(project.root, root, symlinks=True)))

    assert "#0 rnn: validation accuracy" in copy.succeed(*SWEEP, PYTHONPATH="src").output
    synced = copy.succeed("python", "-m", "seqmnist", "sync", PYTHONPATH="src").output

    assert synced.count("MLflow did not have it: logged now") == 5
    assert (root / "sweeps/x/0/models/rnn/seed-42.weights.h5").is_file()
    assert len(list((root / "mlartifacts").rglob("model.keras"))) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clone", "some where"]

    with serving(copy, "seqmnist.serve") as output:
        assert "loading champion of seqmnist-tiny: version 1 (" in output
