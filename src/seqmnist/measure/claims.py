"""The notebook's three claims of an LSTM beside a basic RNN, each as one number and a test of it.

docs/evidence.md has the definitions. A positive effect speaks for the LSTM.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from statistics import fmean
from typing import Any

from seqmnist.measure.convergence import area
from seqmnist.measure.measures import Measured, Measures
from seqmnist.measure.statistics import Test, can_show, mcnemar, one_difference, sign_flip

BASE, CLAIMED = "rnn", "lstm"  # the claims are of the second, beside the first
NAMES = {
    "better": "The LSTM is better",
    "converges_faster": "The LSTM converges faster",
    "remembers_longer": "The LSTM remembers longer",
}
EFFECTS = {
    "better": "test accuracy",
    "converges_faster": "mean validation accuracy over the epochs",
    "remembers_longer": "accuracy after 28 and 112 rows without meaning",
}


def claims(measured: Measured, types: Mapping[str, str]) -> dict[str, Test]:
    """The three tests, of cells that were trained with the same seeds; none without a basic RNN and an LSTM.

    Args:
        measured: for each cell what was measured of the model of each seed.
        types: of the cells: one that is named `lstm` may be another.
    """
    if any(types.get(cell) != cell for cell in (BASE, CLAIMED)):
        return {}
    epochs = min(len(one.curve) for cell in (BASE, CLAIMED) for one in measured[cell])  # recipes can differ
    pairs = list(zip(measured[BASE], measured[CLAIMED], strict=True))

    def of_seeds(figure: Callable[[Measures], float]) -> Test:
        differences = [figure(other) - figure(base) for base, other in pairs]
        return one_difference(*differences) if len(differences) == 1 else sign_flip(differences)

    return {
        "better": (
            mcnemar(*(one.right for one in pairs[0])) if len(pairs) == 1 else of_seeds(lambda one: one.test_accuracy)
        ),
        "converges_faster": of_seeds(lambda one: area(one.curve[:epochs])),
        "remembers_longer": of_seeds(remembered),
    }


def remark(p: float | None, seeds: int) -> str:
    """What a reader must know of a verdict from so few seeds."""
    if p is None:
        return "give 6 seeds or more to test it"
    if seeds == 1:
        return "of these two models alone; give 6 seeds or more to speak of the cells"
    return "" if can_show(seeds) else f"{seeds} seeds can show nothing at 5 %; give 6 or more"


def remembered(one: Measures) -> float:
    """The mean accuracy over all kinds and numbers of rows after the digit."""
    return fmean(one.after.values())


def as_json(test: Test) -> dict[str, Any]:
    """A test's part of metrics.json."""
    return {"verdict": test.verdict, **asdict(test)}
