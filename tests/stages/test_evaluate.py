import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqmnist.cells import saved
from seqmnist.config import Config, flatten
from seqmnist.data.splits import Split
from seqmnist.errors import UserError
from seqmnist.files import write_json
from seqmnist.paths import model_folder
from seqmnist.stages.evaluate import (
    check_trained_as_configured,
    curves,
    model_digests,
    nest,
    table,
    write_tables,
)
from seqmnist.training.history import METRICS, Row

KEYS = st.text(st.characters(exclude_characters=".", codec="utf-8"), max_size=4)
NESTED = st.recursive(
    st.floats(allow_nan=False), lambda children: st.dictionaries(KEYS, children, min_size=1, max_size=3), max_leaves=10
).filter(lambda value: isinstance(value, dict))


@given(NESTED)
def test_nesting_is_the_inverse_of_flattening(nested: dict[str, Any]) -> None:
    assert nest(flatten(nested)) == nested


def test_dotted_names_become_nested_keys() -> None:
    flat = {"selected.epoch": 3, "selected.test.loss": 0.5, "selected.test.accuracy": 0.75, "seed": 1}

    nested = nest(flat)

    assert nested == {"selected": {"epoch": 3, "test": {"loss": 0.5, "accuracy": 0.75}}, "seed": 1}
    assert list(flatten(nested)) == list(flat)


def test_the_table_has_a_line_a_cell() -> None:
    test = {"accuracy": 0.97314, "loss": 0.094829}
    rnn = {"selected": {"epoch": 12.0, "val": {"accuracy": 0.9752}, "test": test}, "seeds": {}}
    lstm = {"selected": {"epoch": 7.5, "val": {"accuracy": 1.0}, "test": test}, "seeds": {}}

    head, *lines = table({"rnn": rnn, "lstm": lstm}).splitlines()

    assert [line.split() for line in lines] == [
        ["rnn", "12", "0.9752", "0.9731", "0.0948"],
        ["lstm", "7.5", "1.0000", "0.9731", "0.0948"],
    ]
    assert {len(line) for line in lines} == {len(head)}


def read(path: str) -> list[list[str]]:
    with Path(path).open(newline="") as file:
        return list(csv.reader(file))


def test_tables_hold_each_prediction_and_the_scores_of_each_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    test = Split(np.zeros((3, 28, 28), np.uint8), np.array([4, 4, 7], np.uint8))
    predictions = {
        "rnn": {42: np.array([4, 7, 7], np.uint8), 43: np.array([4, 4, 7], np.uint8)},
        "lstm": {42: np.array([4, 4, 4], np.uint8)},
    }

    write_tables(predictions, test)

    assert read("reports/predictions/rnn.csv") == [
        ["seed", "image", "label", "predicted"],
        ["42", "0", "4", "4"],
        ["42", "1", "4", "7"],
        ["42", "2", "7", "7"],
        ["43", "0", "4", "4"],
        ["43", "1", "4", "4"],
        ["43", "2", "7", "7"],
    ]
    assert [line[3] for line in read("reports/predictions/lstm.csv")] == ["predicted", "4", "4", "4"]
    head, *classes = read("reports/classes.csv")
    assert head == ["cell", "seed", "digit", "images", "precision", "recall"]
    assert [line[:3] for line in classes] == [
        [cell, seed, str(digit)] for cell, seed in [("rnn", "42"), ("rnn", "43"), ("lstm", "42")] for digit in range(10)
    ]
    assert classes[4] == ["rnn", "42", "4", "2", "1.0", "0.5"]
    assert classes[7] == ["rnn", "42", "7", "1", "0.5", "1.0"]


def test_models_are_named_by_the_digests_of_their_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models" / "rnn"
    folder.mkdir(parents=True)
    for seed in (1, 2):
        (folder / f"seed-{seed}.weights.h5").write_bytes(bytes([seed]))

    digests = model_digests("rnn", [2, 1])

    assert digests.split(" ") == [hashlib.sha256(bytes([seed])).hexdigest() for seed in (2, 1)]


def rows(config: Config, cell: str) -> list[Row]:
    epochs = range(config.train_of(cell).epochs)
    return [Row(seed, epoch, dict.fromkeys(METRICS, seed + epoch)) for seed in config.seeds for epoch in epochs]


def describe_model(config: Config, cell: str) -> None:
    description = {"cell": config.cells[cell].model_dump(), "sequence": config.sequence.model_dump()}
    write_json(model_folder(cell) / "model.json", description)


def test_a_cell_trained_as_configured_is_accepted(
    tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    describe_model(tiny_config, "lstm")

    check_trained_as_configured(tiny_config, "lstm", rows(tiny_config, "lstm"))

    assert saved.describe(model_folder("lstm")) == (tiny_config.cells["lstm"], tiny_config.sequence)


@pytest.mark.parametrize("difference", ["units", "view", "epochs", "seeds"])
def test_a_cell_trained_otherwise_is_refused(
    tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, difference: str
) -> None:
    monkeypatch.chdir(tmp_path)
    describe_model(tiny_config, "lstm")
    trained = rows(tiny_config, "lstm")
    cell = tiny_config.cells["lstm"].model_copy(update={"units": 99})
    updates: dict[str, dict[str, Any]] = {
        "units": {"cells": tiny_config.cells | {"lstm": cell}},
        "view": {"sequence": tiny_config.sequence.model_copy(update={"view": "columns"})},
        "epochs": {"train": tiny_config.train.model_copy(update={"epochs": 9})},
        "seeds": {"seeds": [42, 43]},
    }

    with pytest.raises(UserError, match=r"(other seeds or epochs|another configuration) than params\.yaml"):
        check_trained_as_configured(tiny_config.model_copy(update=updates[difference]), "lstm", trained)


def test_curves_are_means_over_seeds_under_names_without_dots() -> None:
    two = [Row(seed, epoch, dict.fromkeys(METRICS, float(seed * (epoch + 1)))) for seed in (1, 3) for epoch in (0, 1)]

    header, first, second = curves(two)

    assert header == ["epoch", *(name.replace(".", "_") for name in METRICS)]
    assert first == [0, *[2.0] * len(METRICS)]
    assert second == [1, *[4.0] * len(METRICS)]
