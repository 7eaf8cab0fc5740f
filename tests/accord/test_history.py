import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord import history

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1))
def test_a_written_history_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, float]]
) -> None:
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


def test_columns_are_matched_by_name(tmp_path: Path) -> None:
    written = [{"val.accuracy": 0.1, "loss": 9.0}, {"loss": 8.0, "val.accuracy": 0.2}]
    history.write(tmp_path / "history.csv", written)
    assert history.read(tmp_path / "history.csv") == written


@pytest.mark.parametrize("other", [{"val.accuracy": 0.2}, {"val.accuracy": 0.2, "loss": 1.0, "more": 1.0}])
def test_an_epoch_with_other_metrics_is_refused_and_nothing_written(tmp_path: Path, other: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"epoch 1 has the metrics val\.accuracy.*, epoch 0 val\.accuracy, loss"):
        history.write(tmp_path / "history.csv", [{"val.accuracy": 0.1, "loss": 9.0}, other])
    assert not list(tmp_path.iterdir())


def test_an_epoch_whose_metric_is_nan_is_not_selected(tmp_path: Path) -> None:
    history.write(tmp_path / "history.csv", [{"val.accuracy": value} for value in (math.nan, 0.1, math.nan)])
    assert history.selected(tmp_path / "history.csv") == {"selected.epoch": 1, "selected.val.accuracy": 0.1}
