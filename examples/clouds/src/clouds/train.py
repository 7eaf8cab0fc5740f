"""The stage train: write a perceptron to models/model.json and its accuracy to reports/metrics.json."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

import dvc.api

from clouds import prepare

MODEL, METRICS = Path("models/model.json"), Path("reports/metrics.json")


class Perceptron:
    """A perceptron, or the average of all its weights so far; it keeps the weights of its best epoch."""

    def __init__(self, average: bool) -> None:
        self.average, self.weights, self.sums = average, [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
        self.best, self.best_accuracy = [0.0, 0.0, 0.0], 0.0

    def epoch(self, train: list[list[float]], val: list[list[float]]) -> float:
        """Learn from points (x, y, label) and return the validation accuracy."""
        for x, y, label in train:
            a, b, c = self.weights
            if label * (a + b * x + c * y) <= 0:
                self.weights = [a + label, b + label * x, c + label * y]
            self.sums = [one + other for one, other in zip(self.sums, self.weights, strict=True)]
        a, b, c = self.sums if self.average else self.weights
        accuracy = sum(label * (a + b * x + c * y) > 0 for x, y, label in val) / len(val)
        if accuracy > self.best_accuracy:
            self.best, self.best_accuracy = [a, b, c], accuracy
        return accuracy


def fit(model: Perceptron, inputs: Path, seed: int, epochs: Iterable[int], report: Callable[..., object]) -> None:
    """Train a model, report the metrics of each epoch, and write the outputs."""
    train, val = (json.loads((inputs / name).read_text("utf-8")) for name in ("train.json", "val.json"))
    for epoch in epochs:
        order = Random(f"{seed} {epoch}").sample(train, len(train))  # noqa: S311  # no secrets
        report({"val.accuracy": model.epoch(order, val)})
    for path, value in ((MODEL, model.best), (METRICS, {"val.accuracy": model.best_accuracy})):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value), "utf-8")


def main() -> None:
    """Train the model of params.yaml."""
    params = dvc.api.params_show()
    model = Perceptron(params["model"]["average"])
    fit(model, prepare.FOLDER, params["seed"], range(params["epochs"]), print)


if __name__ == "__main__":
    main()
