from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import UserError
from seqmnist.training import history
from seqmnist.training.history import METRICS, Row

ROWS = st.builds(
    Row,
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 1000),
    metrics=st.fixed_dictionaries({name: st.floats(allow_nan=False) for name in METRICS}),
)


def row(epoch: int, validation: float, *, seed: int = 1, test: float = 0.5, loss: float = 1.0) -> Row:
    metrics = dict.fromkeys(METRICS, 0.25) | {"val.accuracy": validation, "test.accuracy": test, "test.loss": loss}
    return Row(seed, epoch, metrics)


@given(st.lists(ROWS, min_size=1, max_size=5))
def test_rows_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip" / "history.csv"

    history.write(path, rows)

    assert history.read(path) == rows


def test_the_file_is_plain_csv_with_the_metrics_names(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"

    history.write(path, [row(0, 0.1, seed=42), row(1, 1 / 3, seed=42)])

    assert path.read_bytes().decode() == (
        "seed,epoch,train.loss,train.accuracy,train.last_batch_accuracy,val.loss,val.accuracy,test.loss,test.accuracy\n"
        "42,0,0.25,0.25,0.25,0.25,0.1,1.0,0.5\n"
        "42,1,0.25,0.25,0.25,0.25,0.3333333333333333,1.0,0.5\n"
    )


def without_column(text: str) -> str:
    return "\n".join(line.rpartition(",")[0] for line in text.splitlines())


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("val.loss", "validation.loss"),
        lambda text: text.replace("seed,epoch", "epoch,seed"),
        without_column,
        lambda text: "\n".join(text.splitlines()[1:]),
        lambda text: text.splitlines()[0],
        lambda _: "",
    ],
    ids=["renamed column", "exchanged columns", "column missing", "no header", "no rows", "empty"],
)
def test_a_file_with_other_columns_is_no_history(tmp_path: Path, damage: Callable[[str], str]) -> None:
    path = tmp_path / "history.csv"
    history.write(path, [row(0, 0.5)])
    path.write_text(damage(path.read_text()))

    with pytest.raises(UserError, match=r"is no history: its columns must be seed, epoch, train\.loss") as caught:
        history.read(path)

    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"42,0,x,0.1,0.1,0.1,0.1,0.1,0.1", "is broken"), (b"42,0,0.25,0.", "is broken"), (b"\xff\xfe", "is no text")],
    ids=["no number", "row cut off", "not UTF-8"],
)
def test_a_broken_row_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "history.csv"
    history.write(path, [row(0, 0.5)])
    path.write_bytes(path.read_bytes() + content)

    with pytest.raises(UserError, match=rf"history\.csv {reason}.*: run `seqmnist check --repair`, then `dvc repro`"):
        history.read(path)


def test_a_missing_file_names_itself_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"history\.csv is missing: run `dvc repro`"):
        history.read(tmp_path / "history.csv")


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [([0.9], 0), ([0.1, 0.9, 0.5], 1), ([0.1, 0.5, 0.9], 2), ([0.1, 0.9, 0.9], 1), ([0.9, 0.1, 0.9], 0)],
    ids=["only one", "middle", "last", "tie", "tie apart"],
)
def test_the_best_validation_accuracy_is_selected_and_the_earlier_of_equals(accuracies: list[float], best: int) -> None:
    rows = [row(epoch, accuracy) for epoch, accuracy in enumerate(accuracies)]

    assert history.selected(rows) is rows[best]
    assert history.selected(rows[::-1]) is rows[best]


def test_test_figures_do_not_select() -> None:
    rows = [row(0, 0.9, test=0.1, loss=9.0), row(1, 0.8, test=1.0, loss=0.1)]

    assert history.selected(rows).epoch == 0


def test_the_summary_has_the_selected_and_the_last_epoch() -> None:
    rows = [row(0, 0.7, test=0.71, loss=3.0), row(1, 0.9, test=0.91, loss=2.0), row(2, 0.8, test=0.81, loss=1.0)]

    assert history.summary(rows) == {
        "selected.epoch": 1,
        "selected.val.accuracy": 0.9,
        "selected.test.accuracy": 0.91,
        "selected.test.loss": 2.0,
        "last.epoch": 2,
        "last.val.accuracy": 0.8,
        "last.test.accuracy": 0.81,
        "last.test.loss": 1.0,
    }


def test_rows_are_grouped_by_seed_in_the_order_of_the_file() -> None:
    rows = [row(0, 0.1, seed=9), row(1, 0.2, seed=9), row(0, 0.3, seed=4)]

    groups = history.by_seed(rows)

    assert list(groups.items()) == [(9, rows[:2]), (4, rows[2:])]
