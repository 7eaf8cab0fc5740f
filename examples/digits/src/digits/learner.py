"""A classifier that learns epoch by epoch, and remembers its best epoch.

Its files are pickles, scikit-learn's usual form, which may run code when they are read: read those of this pipeline
alone. MLflow gets the form of skops, which runs none.
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
    """A classifier in training, which checkpoints save and load."""

    def __init__(self, model: Model, seed: int) -> None:
        """Make a classifier that has learned nothing; it takes images in the order that it is given."""
        rate, options = model.learning_rate, {"alpha": model.alpha, "shuffle": False, "random_state": seed}
        sgd = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=rate, **options)
        mlp = MLPClassifier((32,), learning_rate_init=rate, **options)
        self._classifier: Any = {"sgd": sgd, "mlp": mlp}[model.type]
        self._seed, self._best_accuracy, self.best = seed, -1.0, b""

    def epoch(self, number: int, batch_size: int, splits: dict[str, Split]) -> dict[str, float]:
        """Learn from all training images once, in an order of this epoch's own; return its metrics by name."""
        pixels, labels = splits["train"]
        order = np.random.default_rng([self._seed, number]).permutation(len(labels))
        try:
            for part in np.split(order, range(batch_size, len(order), batch_size)):
                with signals_waiting():  # at Ctrl-C scikit-learn's network would end its fit, and go on
                    self._classifier.partial_fit(pixels[part], labels[part], classes=_CLASSES)
            measured = {name: scores(self._classifier, split) for name, split in splits.items()}
        except ValueError as error:  # of numbers that are too large
            raise UserError(f"training diverged in epoch {number} ({error}): lower its learning_rate") from None
        metrics = flatten(measured)
        content = pickle.dumps(self._classifier)
        self._classifier = pickle.loads(content)  # as after a resume, so that both give the same bytes
        if metrics["val.accuracy"] > self._best_accuracy:
            self._best_accuracy, self.best = metrics["val.accuracy"], content
        return metrics

    def save(self, folder: Path) -> None:
        """Write all that the next epochs depend on."""
        (folder / "learner.pickle").write_bytes(pickle.dumps((self._classifier, self._best_accuracy, self.best)))

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote."""
        self._classifier, self._best_accuracy, self.best = pickle.loads((folder / "learner.pickle").read_bytes())


def scores(classifier: Any, split: Split) -> dict[str, float]:
    """Return accuracy and cross-entropy (nats) of a split."""
    pixels, labels = split
    beliefs = classifier.predict_proba(pixels)  # [n, 10]
    accuracy = np.mean(beliefs.argmax(axis=1) == labels)
    return {"accuracy": float(accuracy), "loss": float(log_loss(labels, beliefs, labels=_CLASSES))}


def read(path: Path) -> Any:
    """Return the classifier in a file."""
    return pickle.loads(path.read_bytes())
