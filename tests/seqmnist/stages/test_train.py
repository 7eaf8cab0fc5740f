import sys

import pytest

from accord.errors import UserError
from seqmnist.config import Config
from seqmnist.stages import train


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one cell: .* one of rnn, lstm"),
        (["rnn", "lstm"], "name one cell: .* one of rnn, lstm"),
        (["gru"], "'gru' is no configured cell: .* rnn, lstm"),
    ],
    ids=["none", "two", "unknown"],
)
def test_the_command_takes_one_configured_cell(
    tiny_config: Config, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", *arguments])

    with pytest.raises(UserError, match=message):
        train._cell_argument(tiny_config)
