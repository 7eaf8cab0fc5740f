"""Where the stages keep what they make, relative to the working directory: dvc.yaml names the same places."""

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
    """Weights of each seed, and what is needed to build the model round them."""
    return Path("models") / cell


def history_file(cell: str) -> Path:
    """The metrics of every seed and epoch."""
    return REPORTS / "train" / cell / "history.csv"


def predictions_file(cell: str) -> Path:
    """What each model says of each test image."""
    return REPORTS / "predictions" / f"{cell}.csv"
