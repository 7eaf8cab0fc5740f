"""Train one cell with every configured seed: its weights to models/<cell>, its history to reports/train/<cell>.

Run it as `python -m seqmnist.stages.train lstm`.
"""

import sys
from contextlib import ExitStack

from seqmnist import config
from seqmnist.config import Config
from seqmnist.data import splits
from seqmnist.errors import UserError
from seqmnist.experiments import run_stage
from seqmnist.paths import PROCESSED, checkpoints_folder, history_file
from seqmnist.training import history
from seqmnist.training.history import Row
from seqmnist.training.runtime import start_tensorflow
from seqmnist.training.setup import Training
from seqmnist.trainings import train


def main() -> None:
    """Run the stage for the cell named on the command line."""
    configuration = config.load()
    cell = _cell_argument(configuration)
    data, summary = splits.load_all(PROCESSED)
    trainings = [Training(configuration, cell, seed, data, summary) for seed in configuration.seeds]
    start_tensorflow(configuration.cells[cell].shards)
    from seqmnist.runs.training_run import request

    with ExitStack() as held:
        kept = [held.enter_context(training.checkpoints(checkpoints_folder())) for training in trainings]
        rows: list[Row] = []
        for training, checkpoints in zip(trainings, kept, strict=True):
            rows += train(training, checkpoints, request(training)).rows
            history.write(history_file(cell), rows)
        for checkpoints in kept:  # DVC runs an interrupted stage without its outputs: until now all seeds need theirs
            checkpoints.remove()


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
    run_stage(main)
