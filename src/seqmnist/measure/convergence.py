"""How fast a cell converges: by epochs and training examples, from the validation accuracies."""

from collections.abc import Sequence

THRESHOLDS = (0.95, 0.97, 0.98)


def epochs_to(curve: Sequence[float], threshold: float) -> int | None:
    """How many epochs were trained when a validation accuracy was first reached; None if it never was."""
    return next((trained for trained, accuracy in enumerate(curve, start=1) if accuracy >= threshold), None)


def reached(curve: Sequence[float], examples: int) -> dict[str, int]:
    """How many epochs and training examples it took to each of `THRESHOLDS`; nothing of those that are never reached.

    Args:
        curve: the validation accuracy by epoch.
        examples: training images in an epoch.
    """
    counts = {f"{100 * threshold:.0f}": epochs_to(curve, threshold) for threshold in THRESHOLDS}
    epochs = {f"epochs_to_{percent}": count for percent, count in counts.items() if count}
    return epochs | {name.replace("epochs", "examples"): count * examples for name, count in epochs.items()}


def area(curve: Sequence[float]) -> float:
    """The area under a validation curve, an epoch counting as 1/n: the mean accuracy over the epochs.

    A curve that rises earlier or ends higher has more; unlike a threshold it needs no choice and is never missed.
    """
    return sum(curve) / len(curve)
