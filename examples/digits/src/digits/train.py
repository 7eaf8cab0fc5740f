"""The stage train: train one model into models/<model>, its history into reports/train/<model>."""

import sys

from accord import history
from accord.errors import UserError
from accord.experiments import run_stage
from accord.files import write_bytes
from accord.settings import load
from accord.tracking.stages import TrainingStage
from digits import runs
from digits.config import Config


def train(config: Config, stage: TrainingStage) -> bool:
    """Train the model of a stage or trial and write its outputs; return whether MLflow has the whole run."""
    from digits.learner import Learner
    from digits.prepare import read_splits

    splits, learner = read_splits(stage.inputs), Learner(config.models[stage.request.tags["model"]], config.seed)
    with stage.training(learner) as training:
        for epoch in training.epochs(config.train.epochs):
            training.add(learner.epoch(epoch, config.train.batch_size, splits))
        model_file, history_file = stage.outputs
        write_bytes(model_file, learner.best)
        history.write(history_file, training.history)
    return training.run.is_whole


def main() -> None:
    """Train the model named on the command line."""
    config = load(Config)
    if len(sys.argv) != 2 or sys.argv[1] not in config.models:
        raise UserError(f"usage: python -m digits.train MODEL, where MODEL is one of: {', '.join(config.models)}")
    train(config, runs.train(config, sys.argv[1]))


if __name__ == "__main__":
    run_stage(main)
