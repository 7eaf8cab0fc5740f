"""Have DVC check an experiment before it writes anything; DVC imports this module right before it composes."""

import sys
from pathlib import Path

from dvc.exceptions import DvcException

ROOT = Path(__file__).resolve().parents[3]

sys.path.insert(0, str(ROOT / "src"))  # this tree's code, also where another is installed
try:
    from accord.experiment_check import install
except ImportError as error:  # Hydra would only warn of it
    raise DvcException(f"{error}: this `dvc` lacks packages of the project: activate .venv, run it again") from None

install(ROOT)
