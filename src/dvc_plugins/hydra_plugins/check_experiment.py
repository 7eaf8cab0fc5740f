"""Have DVC check an experiment before it writes anything; DVC imports this module right before it composes."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

sys.path.insert(0, str(ROOT / "src"))  # this tree's accord, also where another is installed
from accord.experiment_check import install  # noqa: E402

install(ROOT)
