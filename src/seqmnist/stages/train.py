"""Train one cell with every configured seed: its weights to models/<cell>, its history to reports/train/<cell>.

Run it as `python -m seqmnist.stages.train lstm`.
"""

import sys
from typing import TYPE_CHECKING

from seqmnist import config
from seqmnist.cells import saved
from seqmnist.cells.model import build, exported
from seqmnist.config import Config
from seqmnist.data import splits
from seqmnist.errors import UserError, run_command
from seqmnist.files import sha256_file, sha256_json
from seqmnist.paths import PROCESSED, history_file, model_folder
from seqmnist.training import history
from seqmnist.training.batches import batch_count
from seqmnist.training.history import Row
from seqmnist.training.runtime import start_tensorflow
from seqmnist.training.terminal import Watch
from seqmnist.training.trainer import Trainer

if TYPE_CHECKING:
    import keras

    from seqmnist.tracking.runs import Run

Splits = dict[config.SplitName, splits.Split]


def main() -> None:
    """Run the stage for the cell named on the command line."""
    configuration = config.load()
    cell = _cell_argument(configuration)
    data = {name: splits.load(PROCESSED, name) for name in splits.NAMES}
    start_tensorflow(configuration.cells[cell].shards)
    rows: list[Row] = []
    for seed in configuration.seeds:
        rows += train_seed(configuration, cell, seed, data)
        history.write(history_file(cell), rows)


def train_seed(configuration: Config, cell: str, seed: int, data: Splits) -> list[Row]:
    """Train one model in an MLflow run of its own and save the weights of its best validation epoch."""
    from seqmnist.tracking.runs import stage_run

    name = f"train@{cell}" if len(configuration.seeds) == 1 else f"train@{cell} seed={seed}"
    summary = splits.summary(data)
    with stage_run(configuration, "train", name, {"cell": cell}) as run:
        run.params(run_parameters(configuration, cell, seed))
        run.splits(configuration.data, summary)
        model = build(configuration.cells[cell], configuration.sequence, seed)
        rows = fit(configuration, cell, seed, model, data, name, run)
        weights = saved.save(model_folder(cell), model, configuration.cells[cell], configuration.sequence, seed)
        run.metrics(history.summary(rows))
        run.model(exported(model, configuration.cells[cell], configuration.sequence), data["test"].images[:1])
        identity = sha256_file(weights)
        content = {
            "model": identity,
            "history": [[row.epoch, row.metrics] for row in rows],
            "recipe": recipe(configuration, cell, seed),
            "data": {split: part["sha256"] for split, part in summary.items()},
        }
        run.tags({"model.sha256": identity, "train.sha256": sha256_json(content)})
    return rows


def fit(
    configuration: Config, cell: str, seed: int, model: "keras.Model", data: Splits, name: str, run: "Run"
) -> list[Row]:
    """Train `model`, report every epoch, and leave it with the weights of the selected one."""
    train = configuration.train_of(cell)
    shards = configuration.cells[cell].shards
    batches = batch_count(len(data["train"]), train.batch_size)
    rows: list[Row] = []
    best = model.get_weights()
    with Watch(name, train.epochs, batches) as watch:
        trainer = Trainer(model, data, train, seed=seed, shards=shards, progress=watch.batches)
        for epoch in trainer.epochs():
            rows.append(Row(seed, epoch.number, epoch.metrics))
            if history.selected(rows) is rows[-1]:
                best = model.get_weights()
            watch.epoch(epoch)
            speed = {"time.epoch_seconds": epoch.seconds, "time.examples_per_second": epoch.examples_per_second}
            run.metrics(epoch.metrics | speed, step=epoch.number)
    model.set_weights(best)
    return rows


def recipe(configuration: Config, cell: str, seed: int) -> dict[str, object]:
    """All of the configuration that a cell's training depends on, with the recipe merged."""
    described = configuration.cells[cell].model_dump(exclude={"train"})
    return {
        "cell": described,
        "train": configuration.train_of(cell).model_dump(),
        "sequence": configuration.sequence.model_dump(),
        "seed": seed,
    }


def run_parameters(configuration: Config, cell: str, seed: int) -> dict[str, object]:
    """The recipe and the data set: the same names for every cell, so that MLflow compares them line by line."""
    data = configuration.data.model_dump(include={"name", "validation", "counts"})
    return recipe(configuration, cell, seed) | {"data": data}


def _cell_argument(configuration: Config) -> str:
    cells = ", ".join(configuration.cells)
    match sys.argv[1:]:
        case [cell] if cell in configuration.cells:
            return cell
        case [cell]:
            raise UserError(f"{cell!r} is no configured cell: conf/config.yaml has {cells}")
        case _:
            raise UserError(f"name one cell: python -m seqmnist.stages.train CELL, where CELL is one of {cells}")


if __name__ == "__main__":
    run_command(main)
