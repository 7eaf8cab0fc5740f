"""Paths of the stages' outputs, relative to the working directory. dvc.yaml has the same paths."""

from pathlib import Path

RAW = Path("data/raw")
PROCESSED = Path("data/processed")
REPORTS = Path("reports")
METRICS = REPORTS / "metrics.json"
CLASSES = REPORTS / "classes.csv"
CURVES = REPORTS / "curves.csv"
FIGURES = REPORTS / "figures"
PAGE = REPORTS / "index.html"
PLOTS_TEMPLATE = REPORTS / "plots.html"


def model_folder(cell: str) -> Path:
    """Return the folder with a cell's weights of each seed, and the description of its model."""
    return Path("models") / cell


def history_file(cell: str) -> Path:
    """Return the file with a cell's metrics of every seed and epoch."""
    return REPORTS / "train" / cell / "history.csv"


def predictions_file(cell: str) -> Path:
    """Return the file with the predictions of a cell's models for each test image."""
    return REPORTS / "predictions" / f"{cell}.csv"
