"""Go on with a sweep that was stopped, or whose trials failed."""

import sys
from pathlib import Path

from seqmnist.sweep import app
from seqmnist.sweep.folders import Request
from seqmnist.sweep.names import folder_value

_REPLACED = ("hydra.mode=", "hydra.sweep.dir=")


def resume(folder: Path) -> None:
    """Give the command of a sweep again, into the same folder: trials that are finished there are not run again.

    Raises:
        UserError: the folder is none of a sweep.
    """
    request = Request.read(folder)
    own = [override for override in request.hydra if not override.startswith(_REPLACED)]
    sys.argv = ["seqmnist.sweep", "--multirun", *request.overrides, *own, f"hydra.sweep.dir={folder_value(folder)}"]
    app.main()
