"""Shield commands and figures from settings of the user's shell, notebook and configuration files."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper


def settle() -> None:
    """Neutralize settings, for this process and its children, that make imports of libraries or printing fail."""
    _open_closed_streams()
    os.environ["MPLBACKEND"] = "agg"  # a notebook's backend may not be installed here, a desktop's opens windows
    if "error" in sys.warnoptions:  # set by PYTHONWARNINGS
        warnings.simplefilter("default")  # imports of libraries warn, and must not fail
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may have letters that the terminal can't encode


def _open_closed_streams() -> None:
    """Connect each closed standard stream, as after `2>&-`, to the null device."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free number: this stream's
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: PTH123, SIM115  (open until exit)


@contextmanager
def default_style() -> Iterator[None]:
    """Draw in Matplotlib's default style: a user's matplotlibrc may ask for other fonts or for LaTeX."""
    from matplotlib import rc_context, rcdefaults

    with rc_context():
        rcdefaults()
        yield
