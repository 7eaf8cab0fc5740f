"""Parts of the names of metrics that every project has."""

EPOCH = "epoch"
SELECTED = "selected."  # begins the names of the metrics of a training's selected epoch
LAST = "last."  # begins those of its last epoch
_LONG = {"val": "validation"}


def in_words(metric: str) -> str:
    """Return the name of a metric for people, e.g. `validation accuracy`."""
    return " ".join(_LONG.get(part, part) for part in metric.split("."))
