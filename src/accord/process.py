"""Begin and end a command: signals, exit codes, and one line instead of a traceback."""

import atexit
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import NoReturn

from accord.errors import UserError
from accord.paths import enter_project, project_root
from accord.surroundings import settle

_COLLECTED_OBJECTS = 50_000  # made between two runs of the garbage collector; Python's own number is 700
_RESEND_SECONDS = 0.05
_POLL_SECONDS = 0.5


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived. Like KeyboardInterrupt it is no Exception, so that only clean-up code sees it."""


def run_command(main: Callable[[], None], *, needs_project: bool = True) -> NoReturn:
    """Run a command's `main` at the project's root and leave with an exit code instead of a traceback.

    The exit code is 0, 1 after a `UserError` or an operating-system error, 130 after Ctrl-C, 143 after SIGTERM or
    SIGHUP. Anything else is a defect of the program and keeps its traceback. A stage whose DVC is gone gets SIGTERM.
    """
    _collect_less()
    settle()
    sys.unraisablehook = _ask_again
    signal.signal(signal.SIGTERM, _raise_terminated)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _raise_terminated)  # the terminal was closed
    if "DVC_STAGE" in os.environ:
        end_when(_is_without_dvc)
    try:
        enter_project()
        if needs_project:
            require_project()
        main()
    except UserError as error:
        _leave(f"error: {error}", 1)
    except KeyboardInterrupt:
        _leave("interrupted", 130)
    except Terminated:
        _leave("terminated", 143)
    except OSError as error:
        reason = error.strerror or " ".join(map(str, error.args))  # libraries' own errors have no number
        _leave(f"error: {error.filename}: {reason}" if error.filename else f"error: {error}", 1)
    sys.exit(0)


def _collect_less() -> None:
    """Run the garbage collector less often, and not at the end: over all that TensorFlow imports it takes seconds."""
    gc.set_threshold(_COLLECTED_OBJECTS)
    atexit.register(gc.freeze)


def require_project() -> None:
    """Refuse, with a `UserError`, to work outside a project, or with another one's code as a copied environment has."""
    root = project_root()
    if root is None:
        raise UserError(f"{Path.cwd()} is outside the repository: it has no .dvc, nor has a folder above it")
    for there in sorted(file.parent for file in root.glob("src/*/__init__.py")):
        spec = find_spec(there.name) if there.name.isidentifier() else None
        if spec and spec.origin and not there.samefile(own := Path(spec.origin).parent):
            remedy = "install that one (`make setup` or `pip install -e .`), or set PYTHONPATH=src"
            raise UserError(f"this environment runs the code in {own}, not that in {there}: {remedy}")


@contextmanager
def signals_waiting() -> Iterator[None]:
    """Let signals that arrive within the block wait for its end: for what an exception would leave half done."""
    arrived: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number, handler in handlers.items():
        if handler not in {signal.SIG_IGN, signal.SIG_DFL}:
            signal.signal(number, lambda number, _frame: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])


def _raise_terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def end_when(is_orphan: Callable[[], bool]) -> None:
    """Give this process SIGTERM when who started it is gone: it would write beside what the next command starts."""

    def watch() -> None:
        while not is_orphan():
            time.sleep(_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _is_without_dvc() -> bool:
    """DVC starts a stage in its own process group; a process that adopts others is in another."""
    try:
        return os.getpgid(os.getppid()) != os.getpgrp()
    except ProcessLookupError:
        return True


def _ask_again(dropped: "sys.UnraisableHookArgs") -> None:
    """Send a signal again whose exception was raised in a finaliser or callback, where Python drops it."""
    if isinstance(dropped.exc_value, KeyboardInterrupt | Terminated):
        number = signal.SIGINT if isinstance(dropped.exc_value, KeyboardInterrupt) else signal.SIGTERM
        threading.Timer(_RESEND_SECONDS, os.kill, (os.getpid(), number)).start()  # here it would be dropped again
    else:
        sys.__unraisablehook__(dropped)


def _leave(message: str, code: int) -> NoReturn:
    sys.stdout.flush()
    print(message, file=sys.stderr, flush=True)
    sys.exit(code)
