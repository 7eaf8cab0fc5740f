"""Where the stages keep what they make, relative to the working directory: dvc.yaml names the same places."""

import os
from pathlib import Path

CONF = Path("conf")
PARAMS = Path("params.yaml")
RAW = Path("data/raw")
PROCESSED = Path("data/processed")
REPORTS = Path("reports")
METRICS = REPORTS / "metrics.json"
CLASSES = REPORTS / "classes.csv"
FIGURES = REPORTS / "figures"
PAGE = REPORTS / "index.html"


def model_folder(cell: str) -> Path:
    """Weights of each seed, and what is needed to build the model round them."""
    return Path("models") / cell


def history_file(cell: str) -> Path:
    """The metrics of every seed and epoch."""
    return REPORTS / "train" / cell / "history.csv"


def curves_file(cell: str) -> Path:
    """Learning curves as means over seeds, for `dvc plots`."""
    return REPORTS / "curves" / f"{cell}.csv"


def predictions_file(cell: str) -> Path:
    """What each model says of each test image."""
    return REPORTS / "predictions" / f"{cell}.csv"


def repository() -> Path:
    """The repository's root: DVC names it for its stages, else it is where this code stands.

    What outlives a stage is kept there; a temporary experiment's working directory is deleted with it.
    """
    return Path(os.environ.get("DVC_ROOT") or Path(__file__).parents[2]).resolve()


def checkpoints_folder() -> Path:
    """What interrupted trainings go on from."""
    return repository() / "checkpoints"
