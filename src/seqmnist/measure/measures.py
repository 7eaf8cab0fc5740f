"""All measures of one trained model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accord.metric_names import SELECTED
from seqmnist.config import Cell, SplitName
from seqmnist.data.splits import Split
from seqmnist.measure.calibration import Bin, reliability
from seqmnist.metric_names import TEST_ACCURACY, VALIDATION_ACCURACY
from seqmnist.training import history
from seqmnist.training.history import Row

if TYPE_CHECKING:
    import keras

FLOW_DIGITS = 256  # number of validation digits, the first ones, for gradient flow


@dataclass(frozen=True)
class Measures:
    """Measures of one model with the weights of its selected epoch."""

    seed: int  # seed of the training
    rows: list[Row]  # history of the training
    probabilities: NDArray[np.float32]  # class probabilities of the test images, float32 [n, 10]
    right: NDArray[np.bool_]  # for each test image, if the most probable class is the label [n]
    test_loss: float  # nats
    test_accuracy: float
    after: dict[str, float]  # accuracy with rows after the digit, by their kind and number, as `blank 28`
    flow: dict[str, NDArray[np.float64]]  # `gradient_flows` at the `start` and the `end` of training, each [steps]
    bins: list[Bin]  # test predictions in bins of their probability
    beliefs: NDArray[np.float32]  # beliefs about the example digits, float32 [digits, steps, 10]
    gates: dict[str, NDArray[np.float32]]  # an LSTM's gates by name, each [digits, steps, units]; empty for other cells

    @property
    def curve(self) -> list[float]:
        """The validation accuracy by epoch."""
        return [row.metrics[VALIDATION_ACCURACY] for row in self.rows]

    @property
    def predicted(self) -> NDArray[np.uint8]:
        """The most probable class of each test image [n]."""
        classes: NDArray[np.uint8] = self.probabilities.argmax(axis=1).astype(np.uint8)
        return classes

    @property
    def summary(self) -> dict[str, float]:
        """`selected.*` and `last.*` of the history, with the selected model's test figures as measured here."""
        measured = {f"{SELECTED}test.loss": self.test_loss, SELECTED + TEST_ACCURACY: self.test_accuracy}
        return history.summary(self.rows) | measured


Measured = dict[str, list[Measures]]  # measures of each seed's model, by cell


def measure(
    trained: "keras.Model", fresh: "keras.Model", cell: Cell, data: dict[SplitName, Split], rows: list[Row]
) -> Measures:
    """Measure one model.

    Args:
        trained: Model with the weights of the selected epoch.
        fresh: The same model before its training.
        cell: Configuration of the cell.
        data: The three splits.
        rows: History of the training.
    """
    from scipy.special import softmax

    from seqmnist.measure.beliefs import beliefs, example_digits, gates
    from seqmnist.measure.gradient_flow import gradient_flows
    from seqmnist.measure.memory import accuracies_after
    from seqmnist.training.graph import ScoringGraph, score_logits

    test = data["test"]
    logits = ScoringGraph(trained, cell.shards).logits(test.images)  # [n, 10]
    loss, accuracy = score_logits(logits, test.labels)
    digits = data["validation"].images[:FLOW_DIGITS]  # [256, 28, 28]
    examples = test.images[example_digits(test.labels)]  # [digits, 28, 28]
    probabilities: NDArray[np.float32] = softmax(logits.astype(np.float64), axis=1).astype(np.float32)  # [n, 10]
    return Measures(
        seed=rows[0].seed,
        rows=rows,
        probabilities=probabilities,
        right=logits.argmax(axis=1) == test.labels,
        test_loss=loss,
        test_accuracy=accuracy,
        after={
            f"{kind} {rows}": accuracy
            for (kind, rows), accuracy in accuracies_after(trained, test, cell.shards).items()
        },
        flow=dict(zip(("start", "end"), gradient_flows([fresh, trained], digits, cell.shards), strict=True)),
        bins=reliability(probabilities, test.labels),
        beliefs=beliefs(trained, examples),
        gates=gates(trained, examples) if cell.type == "lstm" else {},
    )
