"""The definition of a training, and the list of code that its result depends on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from accord.checkpoints import Checkpoints, training_key
from seqmnist.config import Cell, Config, SplitName
from seqmnist.data.splits import Split, Summary

# All code that a training's bits depend on. The deps of the train stage in dvc.yaml are the same.
CODE = (
    "accord/files.py",
    "accord/metric_names.py",
    "accord/paths.py",
    "accord/settings.py",
    "seqmnist/cells/gradients.py",
    "seqmnist/cells/layers.py",
    "seqmnist/cells/model.py",
    "seqmnist/cells/recurrent.py",
    "seqmnist/cells/saved.py",
    "seqmnist/cells/types",
    "seqmnist/config.py",
    "seqmnist/data/idx.py",
    "seqmnist/data/splits.py",
    "seqmnist/metric_names.py",
    "seqmnist/paths.py",
    "seqmnist/randomness.py",
    "seqmnist/stages/train.py",
    "seqmnist/training/augmentation.py",
    "seqmnist/training/batches.py",
    "seqmnist/training/graph.py",
    "seqmnist/training/history.py",
    "seqmnist/training/optimizer.py",
    "seqmnist/training/runtime.py",
    "seqmnist/training/setup.py",
    "seqmnist/training/trainer.py",
)
_LIBRARIES = ("keras", "numpy", "tensorflow")


@dataclass(frozen=True)
class Training:
    """A cell, a seed and the images for its training."""

    configuration: Config  # has the cell, the recipe and the sequence view
    cell: str  # key in `configuration.cells`
    seed: int  # seed of weights, batches and moved images
    data: Mapping[SplitName, Split]  # the three splits
    summary: Summary  # sizes and digests of the splits

    @property
    def cell_config(self) -> Cell:
        """The configuration of the cell."""
        return self.configuration.cells[self.cell]

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each split."""
        return {name: split["sha256"] for name, split in self.summary.items()}

    @property
    def recipe(self) -> dict[str, object]:
        """The part of the configuration that the training depends on, with the cell's own recipe merged."""
        return self.configuration.recipe_of(self.cell, self.seed)

    def checkpoints(self, folder: Path) -> Checkpoints:
        """Claim the training's checkpoints in a folder of checkpoints."""
        key = training_key(self.recipe, self.digests, CODE, _LIBRARIES)
        return Checkpoints(folder / f"{self.cell}-seed-{self.seed}", key)
