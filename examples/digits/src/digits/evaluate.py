"""The stage evaluate: write the test scores of both models to reports/metrics.json."""

from accord.experiments import run_stage
from accord.files import write_json
from accord.settings import load
from digits import runs
from digits.config import Config
from digits.learner import read, scores
from digits.prepare import read_splits


def main() -> None:
    """Score every model on the test images, write the scores and register the models in MLflow."""
    config, test = load(Config), read_splits(runs.PREPARED)["test"]
    with runs.evaluate(config).run() as run:
        metrics = {model: scores(read(runs.train(config, model).outputs[0]), test) for model in config.models}
        print(*(f"{model}: test accuracy {row['accuracy']:.4f}" for model, row in metrics.items()), sep="\n")
        write_json(runs.METRICS, metrics)
        print(run.attempt(lambda: runs.register(config)) or "")


if __name__ == "__main__":
    run_stage(main)
