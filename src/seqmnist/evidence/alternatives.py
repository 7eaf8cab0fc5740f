"""What the figures and charts show, in words for those who do not see them."""

from collections.abc import Callable

import numpy as np

from seqmnist.evidence.calibration import MIN_BIN_IMAGES
from seqmnist.evidence.measures import FLOW_DIGITS, Measured, Measures
from seqmnist.evidence.metrics import spread

CALIBRATION_ALT = (
    f"Share of right answers by their probability, of {MIN_BIN_IMAGES} images and more; "
    "the expected calibration errors are in the table of them."
)


def curves_alt(measured: Measured) -> str:
    """The learning curves."""
    best = [f"{cell} reaches {max(max(one.curve) for one in models):.4f}" for cell, models in measured.items()]
    return f"Learning curves. In validation accuracy {', '.join(best)}."


def after_alt(measured: Measured) -> str:
    """The accuracies with rows after the digit."""
    return "Accuracy when blank or noise rows follow the digit. " + _each(
        measured,
        lambda models: ", ".join(
            f"{spread([one.after[name] for one in models])} after {name} rows" for name in models[0].after
        ),
    )


def flow_alt(measured: Measured) -> str:
    """Gradient flow."""

    def over_all(models: list[Measures]) -> str:
        last = len(models[0].flow["end"]) - 1
        start, end = (float(np.mean([one.flow[when][-1] for one in models])) for when in ("start", "end"))
        return f"over {last} steps {start:.2g} at the start and {end:.2g} at the end of training"

    said = f"How strongly the last state depends on one some steps before, mean of {FLOW_DIGITS} validation digits."
    return f"{said} " + _each(measured, over_all)


def beliefs_alt(measured: Measured, digits: list[int]) -> str:
    """The beliefs about some digits."""
    said = [
        f"{cell} ends at {', '.join(f'{last.argmax()} with {last.max():.0%}' for last in one.beliefs[:, -1])}"
        for cell, (one, *_) in measured.items()
    ]
    return f"What each cell believes while it reads the digits {', '.join(map(str, digits))}: {'; '.join(said)}."


def _each(measured: Measured, describe: Callable[[list[Measures]], str]) -> str:
    return " ".join(f"{cell}: {describe(models)}." for cell, models in measured.items())
