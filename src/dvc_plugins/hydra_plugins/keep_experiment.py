"""Have DVC refuse `--temp` and `--queue` where it can't keep an experiment, before anything is queued or run.

DVC imports this module right before it composes (`hydra.plugins_path` in .dvc/config), and for nothing else.
"""

import sys
from pathlib import Path

from dvc.exceptions import DvcException

ROOT = Path(__file__).parents[3]
OPTIONS = ("--temp", "--queue")

sys.path.insert(0, str(ROOT / "src"))  # this tree's code, also where another is installed
try:
    from seqmnist.errors import UserError
    from seqmnist.experiments import check_repository
except ImportError as error:  # Hydra would only warn of it
    raise DvcException(f"{error}: this DVC can't check the repository; run the one of .venv") from None
finally:
    sys.path.remove(str(ROOT / "src"))

if any(option.startswith(word) for option in OPTIONS for word in sys.argv[1:] if word[2:]):  # DVC takes short forms
    try:
        check_repository(ROOT)
    except UserError as error:
        raise DvcException(str(error)) from None
