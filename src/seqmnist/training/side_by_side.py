"""Trainings of several seeds side by side, in worker processes.

A worker sends messages. Each has the name of a method of `Screen`, or _RESULT, and its arguments.
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

# The work of a process. Its arguments: seeds as they come, a function for each result, a function that makes a `Watch`.
Work = Callable[[Iterable[int], Callable[[Any], None], Callable[..., Watch]], None]


def run(work: Work, seeds: Sequence[int], workers: int, finish: Callable[[list[Any]], None]) -> None:
    """Train all seeds in worker processes. Each takes the next seed when it is done with one.

    Args:
        work: Function that trains the seeds that it is given. It learns that no more come when all are trained.
        seeds: All seeds.
        workers: Number of processes, at most the number of seeds.
        finish: Function that gets all results, in the order of the seeds, before any `work` ends.

    Raises:
        UserError: A process was ended from outside.
        SystemExit: A process failed, and has said why. In both cases the other processes are ended first.
    """
    screen, waiting, results = Screen(), list(reversed(seeds)), dict[int, Any]()
    at: dict[Connection, int] = {}  # the seed that each process trains
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
    """Start processes; at the end of the block, end those that still run, and print the lines that they sent."""
    context, processes = get_context("spawn"), dict[Connection, BaseProcess]()
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process: BaseProcess = context.Process(target=_process, args=(theirs, work), daemon=True)
            handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: no process prints a traceback at Ctrl-C
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
    """Send a process a seed, or None if no more come. A process that is gone is noticed at the next wait."""
    with suppress(ConnectionError):
        connection.send(seed)


def _next_message(processes: dict[Connection, BaseProcess], at: dict[Connection, int]) -> tuple[Connection, str, Any]:
    """Wait for the next message. Raise an error if a process has ended instead."""
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
    """Raise an error if a process did not end with exit code 0."""
    code = process.exitcode or 0
    if code > 0:
        sys.exit(code)  # it has printed why
    if code < 0:
        name = signal.Signals(-code).name
        remedy = "; give fewer workers if memory ran out" if name == "SIGKILL" else ""
        raise UserError(f"the training with seed {seed} was ended by {name}; the same command goes on{remedy}")


def _process(connection: Connection, work: Work) -> None:
    """Run the work of a process. Its parent alone hears Ctrl-C, and ends it with SIGTERM."""
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
    """A stdout that sends each line to the parent, which has the terminal."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send, self._begun = send, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._send(line)
        return len(text)


class _RemoteWatch(Watch):
    """A `Watch` that prints lines here, and has its bar in the parent, which has the terminal."""

    def __init__(self, send: Callable[..., None], name: str, epochs: int, batches: int, first: int = 0) -> None:
        super().__init__(name, epochs, batches, first)
        self._send = send
        send("begin", name, epochs * batches, first * batches)

    def batches(self, done: int) -> None:
        self._send("batches", done)
