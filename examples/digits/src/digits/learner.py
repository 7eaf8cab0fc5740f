"""A scikit-learn classifier that is trained epoch by epoch and keeps its best epoch.

Its files are pickles, as is usual for scikit-learn. Loading a pickle can run code: load only this pipeline's own.
MLflow gets the model in the format of skops, which runs none.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

from accord.errors import UserError
from accord.process import signals_waiting
from accord.settings import flatten
from digits.config import Model
from digits.prepare import Split

_CLASSES = np.arange(10)


class Learner:
    """A classifier in training, with `save` and `load` for accord's checkpoints."""

    def __init__(self, model: Model, seed: int) -> None:
        """Make an untrained classifier; `epoch` shuffles the images, so scikit-learn does not."""
        rate, options = model.learning_rate, {"alpha": model.alpha, "shuffle": False, "random_state": seed}
        sgd = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=rate, **options)
        mlp = MLPClassifier((32,), learning_rate_init=rate, **options)
        self._classifier: Any = {"sgd": sgd, "mlp": mlp}[model.type]
        self._seed, self._best_accuracy, self.best = seed, -1.0, b""

    def epoch(self, number: int, batch_size: int, splits: dict[str, Split]) -> dict[str, float]:
        """Train one epoch, in an order drawn from the seed and the epoch's number; return the metrics by name."""
        pixels, labels = splits["train"]
        order = np.random.default_rng([self._seed, number]).permutation(len(labels))
        try:
            for part in np.split(order, range(batch_size, len(order), batch_size)):
                with signals_waiting():  # MLPClassifier would catch Ctrl-C and return as if nothing had happened
                    self._classifier.partial_fit(pixels[part], labels[part], classes=_CLASSES)
            measured = {name: scores(self._classifier, split) for name, split in splits.items()}
        except ValueError as error:  # weights or loss overflowed
            raise UserError(f"training diverged in epoch {number} ({error}): lower its learning_rate") from None
        metrics = flatten(measured)
        content = pickle.dumps(self._classifier)
        self._classifier = pickle.loads(content)  # as after a resume, so both end with the same bytes
        if metrics["val.accuracy"] > self._best_accuracy:
            self._best_accuracy, self.best = metrics["val.accuracy"], content
        return metrics

    def save(self, folder: Path) -> None:
        """Write the state that the next epochs depend on into a checkpoint's folder."""
        (folder / "learner.pickle").write_bytes(pickle.dumps((self._classifier, self._best_accuracy, self.best)))

    def load(self, folder: Path) -> None:
        """Read the state that `save` wrote."""
        self._classifier, self._best_accuracy, self.best = pickle.loads((folder / "learner.pickle").read_bytes())


def scores(classifier: Any, split: Split) -> dict[str, float]:
    """Return the accuracy and the cross-entropy (nats) of a classifier on a split."""
    pixels, labels = split
    probabilities = classifier.predict_proba(pixels)  # [n, 10]
    accuracy = np.mean(probabilities.argmax(axis=1) == labels)
    return {"accuracy": float(accuracy), "loss": float(log_loss(labels, probabilities, labels=_CLASSES))}


def read(path: Path) -> Any:
    """Load a classifier from its file."""
    return pickle.loads(path.read_bytes())
