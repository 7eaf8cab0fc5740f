from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord import history

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, float]]) -> None:
    path = tmp_path_factory.mktemp("history") / "reports/history.csv"
    written = [{"train.loss": loss, "val.accuracy": accuracy} for loss, accuracy in rows]
    history.write(path, written)
    assert history.read(path) == written


def test_a_row_begins_with_its_epoch(tmp_path: Path) -> None:
    history.write(tmp_path / "history.csv", [{"val.accuracy": 0.5}, {"val.accuracy": 1.0}])
    assert (tmp_path / "history.csv").read_text() == "epoch,val.accuracy\n0,0.5\n1,1.0\n"


def test_the_first_epoch_with_the_highest_value_is_selected(tmp_path: Path) -> None:
    accuracies = (0.2, 0.9, 0.9, 0.4)
    history.write(tmp_path / "history.csv", [{"val.accuracy": one, "test.accuracy": 1 - one} for one in accuracies])
    selected = history.selected(tmp_path / "history.csv")
    assert selected == {"selected.epoch": 1, "selected.val.accuracy": 0.9, "selected.test.accuracy": 1 - 0.9}
