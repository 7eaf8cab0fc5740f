"""Parts of metric names that every project uses."""

EPOCH = "epoch"
SELECTED = "selected."  # prefix of the metrics of a training's selected epoch
LAST = "last."  # prefix of the metrics of its last epoch
_LONG = {"val": "validation"}


def in_words(metric: str) -> str:
    """Return the name of a metric in words, e.g. `validation accuracy` for `val.accuracy`."""
    return " ".join(_LONG.get(part, part) for part in metric.split("."))
