"""The start and end of a command: signals, exit codes, and one line instead of a traceback."""

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

_COLLECTED_OBJECTS = 50_000  # new objects before the garbage collector runs; Python's default is 700 or 2,000
_RESEND_SECONDS = 0.05
_POLL_SECONDS = 0.5


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived. Like KeyboardInterrupt it is no `Exception`, so that only clean-up code sees it."""


def run_command(main: Callable[[], None], *, needs_project: bool = True) -> NoReturn:
    """Run a command's `main` at the project's root, then exit with a code instead of a traceback.

    The exit code is 0 after success, 1 after a `UserError` or an `OSError`, 130 after Ctrl-C, and 143 after SIGTERM or
    SIGHUP. Any other exception is a defect of the program and keeps its traceback. A stage ends itself with SIGTERM
    when the DVC process that started it is gone.

    Args:
        main: Function that does the command's work.
        needs_project: True if the command fails outside a project.
    """
    _collect_less()
    settle()
    sys.unraisablehook = _ask_again
    signal.signal(signal.SIGTERM, _raise_terminated)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup ignores SIGHUP
        signal.signal(signal.SIGHUP, _raise_terminated)  # sent when the terminal is closed
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
        reason = error.strerror or " ".join(map(str, error.args))  # an OSError that a library raises may have none
        _leave(f"error: {error.filename}: {reason}" if error.filename else f"error: {error}", 1)
    sys.exit(0)


def _collect_less() -> None:
    """Run the garbage collector less often, and not at exit: with TensorFlow imported, a run takes seconds."""
    gc.set_threshold(_COLLECTED_OBJECTS)
    atexit.register(gc.freeze)


def require_project() -> None:
    """Check that the working directory is in a project and that the imported code is this project's.

    Raises:
        UserError: It is outside a project, or the environment has another folder's code, e.g. because it was copied.
    """
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
    """Delay signals until the end of the block, so that their exceptions leave nothing half done."""
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
    """Watch in a thread until this process is an orphan, then send it SIGTERM.

    An orphan would write the same files as the process that the next command starts.

    Args:
        is_orphan: Function that returns whether the process that started this one is gone.
    """

    def watch() -> None:
        while not is_orphan():
            time.sleep(_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _is_without_dvc() -> bool:
    """Return whether the DVC process that started this stage is gone.

    DVC and its stage share a process group; the process that adopts an orphan is in another one.
    """
    try:
        return os.getpgid(os.getppid()) != os.getpgrp()
    except ProcessLookupError:
        return True


def _ask_again(dropped: "sys.UnraisableHookArgs") -> None:
    """Send a signal again if its exception was raised in a finalizer or callback, where Python drops exceptions."""
    if isinstance(dropped.exc_value, KeyboardInterrupt | Terminated):
        number = signal.SIGINT if isinstance(dropped.exc_value, KeyboardInterrupt) else signal.SIGTERM
        # Later, in a thread: sent from within this hook, it would be dropped again.
        threading.Timer(_RESEND_SECONDS, os.kill, (os.getpid(), number)).start()
    else:
        sys.__unraisablehook__(dropped)


def _leave(message: str, code: int) -> NoReturn:
    sys.stdout.flush()
    print(message, file=sys.stderr, flush=True)
    sys.exit(code)
