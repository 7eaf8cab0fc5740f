"""Mistakes that a user can mend, told in one line."""

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn


class UserError(Exception):
    """A mistake outside the code: its message says what is wrong and what to do, and is all that is printed."""


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived. Like KeyboardInterrupt it is no Exception, so that only clean-up code sees it."""


def run_command(main: Callable[[], None]) -> NoReturn:
    """Run a command's `main` and leave the process with an exit code instead of a traceback.

    The exit code is 0, 1 after a `UserError` or an operating-system error, 130 after Ctrl-C, 143 after SIGTERM or
    SIGHUP. Anything else is a defect of the program and keeps its traceback.
    """
    signal.signal(signal.SIGTERM, _raise_terminated)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _raise_terminated)  # the terminal was closed
    try:
        main()
    except UserError as error:
        _leave(f"error: {error}", 1)
    except KeyboardInterrupt:
        _leave("interrupted", 130)
    except Terminated:
        _leave("terminated", 143)
    except OSError as error:
        _leave(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}", 1)
    sys.exit(0)


def _raise_terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def _leave(message: str, code: int) -> NoReturn:
    sys.stdout.flush()
    print(message, file=sys.stderr, flush=True)
    sys.exit(code)
