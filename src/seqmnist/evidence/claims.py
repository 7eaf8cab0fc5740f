"""The notebook's three claims of an LSTM beside a basic RNN, each as one number and a test of it.

docs/evidence.md has the definitions. A positive effect speaks for the LSTM.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from seqmnist.evidence.convergence import area
from seqmnist.evidence.measures import Measures
from seqmnist.evidence.statistics import Test, mcnemar, one_difference, sign_flip

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


def claims(measured: dict[str, list[Measures]]) -> dict[str, Test]:
    """The three tests, of cells that were trained with the same seeds; none where a cell is missing.

    Args:
        measured: for each cell what was measured of the model of each seed.
    """
    if not {BASE, CLAIMED} <= set(measured):
        return {}
    pairs = list(zip(measured[BASE], measured[CLAIMED], strict=True))
    return {
        "better": (
            mcnemar(pairs[0][0].right, pairs[0][1].right)
            if len(pairs) == 1
            else sign_flip([other.test_accuracy - base.test_accuracy for base, other in pairs])
        ),
        "converges_faster": _over_seeds([area(other.curve) - area(base.curve) for base, other in pairs]),
        "remembers_longer": _over_seeds([remembered(other) - remembered(base) for base, other in pairs]),
    }


def remembered(one: Measures) -> float:
    """The mean accuracy over all kinds and numbers of rows after the digit."""
    return fmean(one.after.values())


def as_json(test: Test) -> dict[str, Any]:
    """A test's part of metrics.json."""
    return {
        "verdict": test.verdict,
        "effect": test.effect,
        "interval": list(test.interval),
        "confidence": test.confidence,
        "test": test.test,
        "p": test.p,
        "n": test.n,
    }


def _over_seeds(differences: Sequence[float]) -> Test:
    return one_difference(differences[0]) if len(differences) == 1 else sign_flip(differences)
