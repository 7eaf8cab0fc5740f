"""The notebook's three claims about the LSTM and the basic RNN, each as one number and its test.

docs/evidence.md has the definitions. A positive effect is in favour of the LSTM.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from statistics import fmean
from typing import Any

from seqmnist.measure.convergence import area
from seqmnist.measure.measures import Measured, Measures
from seqmnist.measure.statistics import Test, can_show, mcnemar, one_difference, sign_flip

BASE, CLAIMED = "rnn", "lstm"  # the claims compare the second with the first
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
    """Test the three claims on cells that were trained with the same seeds.

    Without a basic RNN and an LSTM the result is empty.

    Args:
        measured: Measures of each seed's model, by cell.
        types: Type of each cell: a cell that is named `lstm` may have another.
    """
    if any(types.get(cell) != cell for cell in (BASE, CLAIMED)):
        return {}
    epochs = min(len(one.curve) for cell in (BASE, CLAIMED) for one in measured[cell])  # their recipes can differ
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
    """Return a warning to the reader of a verdict from too few seeds, or an empty text."""
    if p is None:
        return "give 6 seeds or more to test it"
    if seeds == 1:
        return "of these two models alone; give 6 seeds or more to speak of the cells"
    return "" if can_show(seeds) else f"{seeds} seeds can show nothing at 5 %; give 6 or more"


def remembered(one: Measures) -> float:
    """Return the mean accuracy over all kinds and numbers of rows after the digit."""
    return fmean(one.after.values())


def as_json(test: Test) -> dict[str, Any]:
    """Return a test as its part of metrics.json."""
    return {"verdict": test.verdict, **asdict(test)}
