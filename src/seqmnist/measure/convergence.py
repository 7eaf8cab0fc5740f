"""Speed of convergence, from the validation accuracies by epoch."""

from collections.abc import Sequence

THRESHOLDS = (0.95, 0.97, 0.98)


def epochs_to(curve: Sequence[float], threshold: float) -> int | None:
    """Return the number of epochs until a validation accuracy was first reached, or None if it never was."""
    return next((trained for trained, accuracy in enumerate(curve, start=1) if accuracy >= threshold), None)


def reached(curve: Sequence[float], examples: int) -> dict[str, int]:
    """Return the numbers of epochs and training examples until each of `THRESHOLDS` that was reached.

    Args:
        curve: Validation accuracy by epoch.
        examples: Number of training images in an epoch.
    """
    counts = {f"{100 * threshold:.0f}": epochs_to(curve, threshold) for threshold in THRESHOLDS}
    epochs = {f"epochs_to_{percent}": count for percent, count in counts.items() if count}
    return epochs | {name.replace("epochs", "examples"): count * examples for name, count in epochs.items()}


def area(curve: Sequence[float]) -> float:
    """Return the area under a validation curve, with n epochs as width 1: the mean accuracy over the epochs.

    A curve that rises earlier or ends higher has a larger area. Unlike a threshold, it needs no choice, and every curve
    has one.
    """
    return sum(curve) / len(curve)
