"""The process of one trial: `python -m seqmnist.sweep.trial FOLDER STARTER`, started by `seqmnist.sweep.job`.

It works in the trial's folder as the train stage does in the repository's, and ends with the process of this number.
"""

import os
import shlex
import signal
import sys
from dataclasses import replace
from pathlib import Path

from seqmnist import config
from seqmnist.config import Config
from seqmnist.data import splits
from seqmnist.files import sha256_file
from seqmnist.paths import PARAMS, history_file
from seqmnist.process import end_when, run_command
from seqmnist.sweep.folders import CHECKPOINTS, Result, Trial
from seqmnist.sweep.names import folder_value
from seqmnist.tracking.away import ServerAway, telling
from seqmnist.tracking.store import tracking_uri
from seqmnist.tracking.sweeps import Sweep
from seqmnist.training import history
from seqmnist.training.runtime import start_tensorflow
from seqmnist.trainings import Training, in_mlflow, train


def main() -> None:
    """Train what the folder named on the command line describes; if that was done, send what MLflow lacks of it."""
    os.chdir(sys.argv[1])
    trial, configuration = Trial.read(Path()), config.load()
    (cell,), (seed,) = configuration.cells, configuration.seeds
    data = splits.load_all(Path(trial.data))
    try:
        (tags, notes, resume), away = _in_mlflow(trial, configuration), None
    except ServerAway as error:
        tags, notes, resume, away = {}, {}, None, error
    training = Training(configuration, cell, seed, data, splits.summary(data), trial.name, tags, notes, _later(trial))
    done = Result.read(Path())
    if done and done.status == "FINISHED":
        if away:
            raise away
        in_mlflow(training, history.read(history_file(cell)))
        replace(done, is_logged=True).write(Path())
        return
    start_tensorflow(min(configuration.cells[cell].shards, trial.threads))
    with training.checkpoints(CHECKPOINTS) as keep:
        rows, is_logged = train(training, keep, resume, away)
        history.write(history_file(cell), rows)
        best = history.selected(rows)
        accuracy, digest = best.metrics["val.accuracy"], sha256_file(PARAMS)
        Result("FINISHED", digest, accuracy, best.epoch, is_logged=is_logged).write(Path())
        keep.remove()


def _in_mlflow(trial: Trial, configuration: Config) -> tuple[dict[str, str], dict[str, str], str | None]:
    """The tags that make a run one of the sweep, further ones, and the id of the one that this trial has, if any."""
    if not trial.sweep:
        return {}, {}, None
    with telling(tracking_uri(configuration.tracking)):
        sweep, digest = Sweep.configured(configuration.tracking, Path(trial.sweep)), sha256_file(PARAMS)
        if run_id := sweep.trial_run_id(trial.number, digest):
            sweep.wait_for_end(trial.number, digest)
        return sweep.trial_tags(trial.number), sweep.notes(), run_id


def _later(trial: Trial) -> str:
    """What sends the rest when the server is away."""
    if trial.sweep:
        return f"`seqmnist resume {shlex.quote(trial.sweep)}` sends the rest"
    return f"the same command with {shlex.quote(f'hydra.run.dir={folder_value(Path.cwd())}')} sends the rest"


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the process that starts it ignores Ctrl-C
    end_when(lambda: os.getppid() != int(sys.argv[2]))
    run_command(main, needs_project=False)  # a node of Ray has none
