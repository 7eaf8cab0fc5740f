"""Hook that makes DVC check an experiment before it writes files. DVC imports this module just before it composes."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

sys.path.insert(0, str(ROOT / "src"))  # this tree's accord takes precedence over an installed one
from accord.experiment_check import install  # noqa: E402

install(ROOT)
