import os
import pty
import subprocess
import sys

import pytest

from seqmnist.training.history import METRICS
from seqmnist.training.terminal import Watch
from seqmnist.training.trainer import Epoch

EPOCH = Epoch(
    number=3,
    metrics=dict(zip(METRICS, (0.56789, 0.81188, 0.9, 0.17, 0.95, 0.18, 0.94329), strict=True)),
    seconds=2.345,
    examples_per_second=23456.7,
)
LINE = "train@rnn  3/14 loss 0.5679 train 0.8119 val 0.9500 test 0.9433 2.3 s 23,457/s"
WATCH = f"""
import sys
from seqmnist.training.runtime import start_tensorflow
start_tensorflow(1)
from seqmnist.training.terminal import Watch
from seqmnist.training.trainer import Epoch
with Watch("train@rnn", epochs=15, batches=4) as watch:
    watch.batches(1)
    watch.batches(1)
    watch.epoch({EPOCH})
    sys.exit(int(sys.argv[1]))
"""


SCREEN = f"""
from seqmnist.training.terminal import Screen
with Screen() as screen:
    screen.begin(1, "train@lstm seed=1", 60, 0)
    screen.begin(2, "train@lstm seed=2", 60, 8)
    screen.begin(3, "train@lstm seed=3", 60, 9)
    screen.line(1, {2 * LINE!r})
    screen.batches(1, 3)
    screen.batches(1, 4)
    screen.end(3)
"""


def shown_on_a_terminal(program: str, exit_code: int = 0, columns: int = 200) -> str:
    """The text that a short training writes to a terminal."""
    environment = os.environ | {"TERM": "xterm", "COLUMNS": str(columns)}
    reader, terminal = pty.openpty()
    with os.fdopen(reader, "rb", buffering=0) as shown:
        command = [sys.executable, "-c", program, str(exit_code)]
        result = subprocess.run(command, env=environment, stdout=terminal, stderr=subprocess.PIPE, check=False)
        os.close(terminal)
        assert (result.returncode, result.stderr) == (exit_code, b"")
        return shown.read(100_000).decode()


def test_a_pipe_gets_one_plain_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    with Watch("train@rnn", epochs=15, batches=4) as watch:
        watch.batches(4)
        watch.epoch(EPOCH)

    assert capsys.readouterr() == (f"{LINE}\n", "")


@pytest.mark.slow
def test_a_terminal_gets_the_line_and_a_bar_over_all_batches() -> None:
    shown = shown_on_a_terminal(WATCH)

    assert LINE in shown
    assert "2/60" in shown


@pytest.mark.slow
def test_the_cursor_comes_back_when_training_fails() -> None:
    hide, show = "\x1b[?25l", "\x1b[?25h"

    shown = shown_on_a_terminal(WATCH, 3)

    assert shown.rfind(show) > shown.rfind(hide) >= 0


def test_a_terminal_gets_a_bar_for_each_training_of_another_process() -> None:
    shown = shown_on_a_terminal(SCREEN, columns=80)

    assert 2 * LINE in shown, "the terminal breaks a line that is too long, so that it can be copied"
    *_, last = shown.split(LINE)
    assert "train@lstm seed=1" in last
    assert "7/60" in last
    assert "8/60" in last
    assert "seed=3" not in last.split("7/60")[-1]
