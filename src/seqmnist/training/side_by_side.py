"""Trainings of several seeds side by side, each in a process of its own.

A process sends messages: a method of `Screen` or _RESULT by its name, and its arguments.
"""

import io
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from accord.errors import UserError
from accord.process import Terminated, end_when, run_command, signals_waiting
from seqmnist.training.terminal import Screen, Watch

_RESULT = "result"

# What a process does: its arguments are seeds as they come, what to call with the result of each, and what shows one.
Work = Callable[[Iterable[int], Callable[[Any], None], Callable[..., Watch]], None]


def run(work: Work, seeds: Sequence[int], workers: int, finish: Callable[[list[Any]], None]) -> None:
    """Train seeds in so many processes, of which each takes the next seed when it is done with one.

    Args:
        work: Trains the seeds that come; where no more come, all of them are trained.
        seeds: All seeds.
        workers: Number of processes, at most that of seeds.
        finish: Gets the results in the order of the seeds before any `work` learns that no more come.

    Raises:
        UserError: A process was ended from outside.
        SystemExit: A process failed, and has said why. In both cases the others are ended first.
    """
    screen, waiting, results = Screen(), list(reversed(seeds)), dict[int, Any]()
    at: dict[Connection, int] = {}  # the seed that each process works at
    with screen, _started(work, workers, screen) as processes:
        for connection in processes:
            _send(connection, at.setdefault(connection, waiting.pop()))
        while len(results) < len(seeds):
            connection, said, content = _next_message(processes, at)
            if said != _RESULT:
                getattr(screen, said)(connection, *content)
                continue
            screen.end(connection)
            (results[at[connection]],) = content
            if waiting:
                at[connection] = waiting.pop()
                _send(connection, at[connection])
        finish([results[seed] for seed in seeds])
        for connection, process in processes.items():
            _send(connection, None)
            process.join()
            _check(process, at[connection])


@contextmanager
def _started(work: Work, workers: int, screen: Screen) -> Iterator[dict[Connection, BaseProcess]]:
    """Start processes; end those that are there at the end of the block, and print what they still have to say."""
    context, processes = get_context("spawn"), dict[Connection, BaseProcess]()
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process: BaseProcess = context.Process(target=_process, args=(theirs, work), daemon=True)
            handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a process inherits that; none prints a traceback
            process.start()
            signal.signal(signal.SIGINT, handler)
            theirs.close()
            processes[ours] = process
        yield processes
    finally:
        with signals_waiting():
            for process in processes.values():
                process.terminate()
            for connection, process in processes.items():
                with suppress(EOFError, ConnectionError):
                    while True:
                        said, *content = connection.recv()
                        if said == "line":
                            screen.line(connection, *content)
                process.join()


def _send(connection: Connection, seed: int | None) -> None:
    """Give a process a seed, or None if no more come; if it is gone, that is seen when it is waited for."""
    with suppress(ConnectionError):
        connection.send(seed)


def _next_message(processes: dict[Connection, BaseProcess], at: dict[Connection, int]) -> tuple[Connection, str, Any]:
    """Wait for the next message; raise what the end of a process stands for."""
    waited = wait(list(processes))
    connection = next(one for one in processes if one in waited)
    try:
        said, *content = connection.recv()
    except (EOFError, ConnectionError):
        processes[connection].join()
        _check(processes[connection], at[connection])
        raise UserError(f"the training with seed {at[connection]} was ended; the same command goes on") from None
    return connection, said, content


def _check(process: BaseProcess, seed: int) -> None:
    """Raise what the end of a process stands for, if it did not end well."""
    code = process.exitcode or 0
    if code > 0:
        sys.exit(code)  # it has printed why
    if code < 0:
        name = signal.Signals(-code).name
        remedy = "; give fewer workers if memory ran out" if name == "SIGKILL" else ""
        raise UserError(f"the training with seed {seed} was ended by {name}; the same command goes on{remedy}")


def _process(connection: Connection, work: Work) -> None:
    """Run a process. Ctrl-C is heard by the one that started it, which ends it with SIGTERM."""
    run_command(partial(_work, connection, work))


def _work(connection: Connection, work: Work) -> None:
    def send(*message: Any) -> None:
        try:
            connection.send(message)
        except ConnectionError:
            raise Terminated from None

    parent = parent_process()
    end_when(lambda: parent is None or not parent.is_alive())
    sys.stdout = _Lines(partial(send, "line"))
    with suppress(Terminated, EOFError):
        work(iter(connection.recv, None), partial(send, _RESULT), partial(_RemoteWatch, send))


class _Lines(io.TextIOBase):
    """A stdout that sends each line to the process that has the terminal."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send, self._begun = send, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._send(line)
        return len(text)


class _RemoteWatch(Watch):
    """A training that prints lines here, and whose bar is at the one that has the terminal."""

    def __init__(self, send: Callable[..., None], name: str, epochs: int, batches: int, first: int = 0) -> None:
        super().__init__(name, epochs, batches, first)
        self._send = send
        send("begin", name, epochs * batches, first * batches)

    def batches(self, done: int) -> None:
        self._send("batches", done)
