"""Compare the accuracy of this project's layers with that of Keras's: `python -m benchmarks.accuracy`.

Both start from the same weights and see the same batches, by the pipeline's recipe. benchmarks/accuracy.csv gets the
accuracy of the best validation epoch for each cell, kind of layer and seed. It takes about 35 minutes on 2 cores.
"""

from pathlib import Path

from accord.files import write_csv
from seqmnist import config
from seqmnist.cells.model import build, stock
from seqmnist.config import Cell, Config
from seqmnist.data import splits
from seqmnist.paths import PROCESSED
from seqmnist.training.history import Row, selected
from seqmnist.training.runtime import start_tensorflow

SEEDS = range(5)
CELLS = ("rnn", "lstm", "gru")
LAYERS = ("fast", "keras")
TABLE = Path(__file__).parent / "accuracy.csv"
SHARDS = 2


def main() -> None:
    """Train every cell with both kinds of layers and every seed."""
    configuration = config.load()
    data, _ = splits.load_all(PROCESSED)
    start_tensorflow(SHARDS)
    table: list[tuple[object, ...]] = [("cell", "layers", "seed", "epoch", "val_accuracy", "test_accuracy")]
    for cell in CELLS:
        for seed in SEEDS:
            for layers in LAYERS:
                row = train(configuration, cell, layers, seed, data)
                table.append((cell, layers, seed, row.epoch, row.metrics["val.accuracy"], row.metrics["test.accuracy"]))
                print(*table[-1], flush=True)
                write_csv(TABLE, table)


def train(configuration: Config, name: str, layers: str, seed: int, data: dict[config.SplitName, splits.Split]) -> Row:
    """Train one model and return the history row of its best validation epoch.

    Args:
        configuration: Configuration of the pipeline: the recipe and the sequence are taken from it.
        name: Type of the cell, such as `lstm`.
        layers: `fast` for this project's layer, `keras` for Keras's.
        seed: Seed of the first weights and of the order of the images.
        data: Splits by name.
    """
    from seqmnist.training.trainer import Trainer  # imports TensorFlow: start_tensorflow comes first

    cell = Cell.model_validate({"type": name, "units": 150, "shards": SHARDS, "train": {}})
    model = build(cell, configuration.sequence, seed)
    if layers == "keras":
        model = stock(model, cell, configuration.sequence, unroll=True)
    trainer = Trainer(model, data, configuration.train, seed=seed, shards=SHARDS, progress=lambda _: None)
    return selected([Row(seed, epoch.number, epoch.metrics) for epoch in trainer.epochs()])


if __name__ == "__main__":
    main()
