"""Keep what a shell, a notebook or a user's files set from having an effect on commands and figures."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper


def settle() -> None:
    """Set for this process, and those that it starts, what makes libraries fail at import or printing fail."""
    _open_closed_streams()
    os.environ["MPLBACKEND"] = "agg"  # a notebook's is a module that is not here, and a desktop's opens windows
    if "error" in sys.warnoptions:  # from PYTHONWARNINGS
        warnings.simplefilter("default")  # libraries import each other with warnings
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may have letters that the terminal lacks


def _open_closed_streams() -> None:
    """Have what is written to a standard stream that was closed, as by `2>&-`, go nowhere."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free number, which is this
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: PTH123, SIM115  (until the end)


@contextmanager
def default_style() -> Iterator[None]:
    """Draw in Matplotlib's own style: a matplotlibrc of the user's may ask for other fonts, or programs as LaTeX."""
    from matplotlib import rc_context, rcdefaults

    with rc_context():
        rcdefaults()
        yield
