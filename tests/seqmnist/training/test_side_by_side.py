import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from accord.errors import UserError
from accord.process import Terminated
from seqmnist.training import side_by_side
from seqmnist.training.terminal import Watch

FAILING = 3  # seed whose training fails
Done = Callable[[Any], None]
Shows = Callable[..., Watch]


def square(folder: Path, seeds: Iterable[int], done: Done, watch: Shows) -> None:
    """Square seeds, and leave a file for each process when no more come."""
    for seed in seeds:
        with watch(f"seed={seed}", 1, 2) as shown:
            shown.batches(1)
            print("square", "of", seed)
            done((seed * seed, os.getpid()))
    (folder / f"over-{os.getpid()}").touch()


def wait_for_its_end(folder: Path, seeds: Iterable[int], _done: Done, _: Shows) -> None:
    """Work until the process is ended, with a seed by which `fail_beside_another` knows that it is at work."""
    for seed in seeds:
        try:
            print(f"seed {seed}: begun")
            if (folder / "begun").exists():
                (folder / "begun").write_text("")
            while True:
                signal.pause()
        except Terminated:
            (folder / f"stopped-{seed}").touch()
            print(f"seed {seed}: stopped")
            raise


def fail_beside_another(folder: Path, end: str, seeds: Iterable[int], done: Done, watch: Shows) -> None:
    """Fail with one seed in a way of its own; with another one wait until it is ended."""
    for seed in seeds:
        if seed != FAILING:
            wait_for_its_end(folder, [seed], done, watch)
        (folder / "begun").read_text()  # a pipe: as soon as the other one is at work
        match end:
            case "error":
                raise UserError("the loss is nan")
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "return":
                return


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_each_seed_is_trained_once_and_results_have_the_order_of_the_seeds(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], workers: int
) -> None:
    results: list[Any] = []

    def finish(found: list[Any]) -> None:
        assert not list(tmp_path.iterdir())  # no process is over before
        results.extend(found)

    side_by_side.run(partial(square, tmp_path), [7, 2, 5, 3, 4], workers, finish)

    assert [result for result, _ in results] == [49, 4, 25, 9, 16]
    processes = {process for _, process in results}
    assert len(processes) <= workers
    assert os.getpid() not in processes
    assert len(list(tmp_path.iterdir())) == workers
    printed = capfd.readouterr()
    assert sorted(printed.out.splitlines()) == [f"square of {seed}" for seed in (2, 3, 4, 5, 7)]
    assert printed.err == ""


@pytest.mark.parametrize(
    ("end", "raised", "message", "printed"),
    [
        ("error", SystemExit, "^1$", "error: the loss is nan\n"),
        ("kill", UserError, "the training with seed 3 was ended by SIGKILL; .*; give fewer workers", ""),
        ("return", UserError, "the training with seed 3 was ended; the same command goes on", ""),
    ],
)
def test_the_end_of_one_training_ends_the_others_as_ctrl_c_would(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    end: str,
    raised: type[BaseException],
    message: str,
    printed: str,
) -> None:
    os.mkfifo(tmp_path / "begun")
    finished: list[Any] = []

    with pytest.raises(raised, match=message):
        side_by_side.run(partial(fail_beside_another, tmp_path, end), [1, FAILING, 5], 2, finished.extend)

    assert (tmp_path / "stopped-1").exists()
    assert finished == []
    assert capfd.readouterr() == ("seed 1: begun\nseed 1: stopped\n", printed)


PROGRAM = """
import sys
from functools import partial
from pathlib import Path
from accord.process import run_command
from seqmnist.training import side_by_side
from tests.seqmnist.training.test_side_by_side import wait_for_its_end
work = partial(wait_for_its_end, Path(sys.argv[1]))
run_command(lambda: side_by_side.run(work, [1, 2], 2, print))
"""


@pytest.mark.parametrize(
    ("number", "to_all", "code", "errors"),
    [
        (signal.SIGINT, True, 130, "interrupted\n"),  # as a terminal does
        (signal.SIGINT, False, 130, "interrupted\n"),
        (signal.SIGTERM, False, 143, "terminated\n"),
        (signal.SIGKILL, False, -9, ""),
    ],
    ids=["Ctrl-C", "SIGINT", "SIGTERM", "SIGKILL"],
)
def test_a_signal_ends_all_trainings(
    tmp_path: Path, number: signal.Signals, to_all: bool, code: int, errors: str
) -> None:
    command = [sys.executable, "-c", "import signal; signal.signal(2, signal.default_int_handler)\n" + PROGRAM]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, str(tmp_path)], stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        assert process.stdout
        assert {process.stdout.readline() for _ in range(2)} == {"seed 1: begun\n", "seed 2: begun\n"}
        children = psutil.Process(process.pid).children(recursive=True)
        (os.killpg if to_all else os.kill)(process.pid, number)
        output, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (code, errors)
    assert psutil.wait_procs(children, timeout=60)[1] == []
    assert all((tmp_path / f"stopped-{seed}").exists() for seed in (1, 2))
    if number != signal.SIGKILL:
        assert sorted(output.splitlines()) == ["seed 1: stopped", "seed 2: stopped"]
