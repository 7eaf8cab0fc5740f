"""The process of one trial: `python -m seqmnist.sweep.trial FOLDER`, started by `seqmnist.sweep.job`.

It works in the trial's folder as the train stage does in the repository's.
"""

import os
import signal
import sys
from pathlib import Path

from seqmnist import config
from seqmnist.data import splits
from seqmnist.errors import run_command
from seqmnist.files import sha256_file
from seqmnist.paths import PARAMS, history_file
from seqmnist.sweep.folders import CHECKPOINTS, Result, Trial
from seqmnist.tracking.sweeps import Sweep
from seqmnist.training import history
from seqmnist.training.runtime import start_tensorflow
from seqmnist.trainings import Training, train


def main() -> None:
    """Train what the folder named on the command line describes."""
    os.chdir(sys.argv[1])
    trial, configuration = Trial.read(Path()), config.load()
    (cell,), (seed,) = configuration.cells, configuration.seeds
    data = splits.load_all(Path(trial.data))
    tags: dict[str, str] = {}
    resume = None
    if trial.sweep:
        sweep = Sweep.configured(configuration.tracking, Path(trial.sweep))
        tags, resume = sweep.trial_tags(trial.number), sweep.trial_run_id(trial.number, sha256_file(PARAMS))
    training = Training(configuration, cell, seed, data, splits.summary(data), trial.name, tags)
    start_tensorflow(min(configuration.cells[cell].shards, trial.threads))
    with training.checkpoints(CHECKPOINTS) as keep:
        rows = train(training, keep, resume=resume)
        history.write(history_file(cell), rows)
        best = history.selected(rows)
        Result("FINISHED", sha256_file(PARAMS), best.metrics["val.accuracy"], best.epoch).write(Path())
        keep.remove()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the process that starts it ignores Ctrl-C
    run_command(main)
