"""Options of Hydra's command line that can't be used here, or not together: Hydra would end in a traceback."""

import os
import re
import sys

from hydra._internal.utils import get_args_parser  # its only list of options; tests run each of them

from seqmnist.errors import UserError

_COMPLETIONS = r"(un)?install=(bash|fish|zsh)"


def check_options() -> None:
    """Check the command line's options, before Hydra reads them.

    Raises:
        UserError: one can't be used.
    """
    given = get_args_parser().parse_args(sys.argv[1:])
    if given.experimental_rerun:
        raise UserError("--experimental-rerun reads a pickle, which may run any code: give the overrides instead")
    for name in ("resolve", "package"):
        if getattr(given, name) and not (given.cfg or given.help):
            raise UserError(f"--{name} has no effect without --cfg")
    if given.help or given.hydra_help:
        return
    actions = [name for name in ("run", "multirun", "cfg", "info", "shell_completion") if getattr(given, name)]
    if len(actions) > 1:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in actions)
        raise UserError(f"{options} exclude each other; --cfg and --info show one trial, with one value for each key")
    is_query = "COMP_LINE" in os.environ  # set by a shell
    if given.shell_completion and not is_query and not re.fullmatch(_COMPLETIONS, " ".join(given.overrides)):
        raise UserError("--shell-completion takes install=SHELL or uninstall=SHELL, of bash, fish and zsh")
