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


def shown_on_a_terminal(exit_code: int) -> str:
    """What a process that trains for a little writes to a terminal of 200 columns."""
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
    reader, terminal = pty.openpty()
    with os.fdopen(reader, "rb", buffering=0) as shown:
        command = [sys.executable, "-c", WATCH, str(exit_code)]
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
    shown = shown_on_a_terminal(0)

    assert LINE in shown
    assert "2/60" in shown


@pytest.mark.slow
def test_the_cursor_comes_back_when_training_fails() -> None:
    hide, show = "\x1b[?25l", "\x1b[?25h"

    shown = shown_on_a_terminal(3)

    assert shown.rfind(show) > shown.rfind(hide) >= 0
