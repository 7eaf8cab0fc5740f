from pathlib import Path
from typing import Any

import pytest

from accord.errors import UserError
from accord.files import write_json
from seqmnist.cells import saved
from seqmnist.config import Config
from seqmnist.paths import history_file, model_folder
from seqmnist.training import history
from seqmnist.training.history import METRICS, Row
from seqmnist.training.outputs import read_histories


def rows(config: Config, cell: str) -> list[Row]:
    epochs = range(config.train_of(cell).epochs)
    return [Row(seed, epoch, dict.fromkeys(METRICS, seed + epoch)) for seed in config.seeds for epoch in epochs]


def describe_model(config: Config, cell: str) -> None:
    description = {"cell": config.cells[cell].model_dump(), "sequence": config.sequence.model_dump()}
    write_json(model_folder(cell) / "model.json", description)


@pytest.fixture(autouse=True)
def expected(tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Row]]:
    """The histories of all cells, which stand in the working directory with descriptions of the models."""
    monkeypatch.chdir(tmp_path)
    histories = {cell: rows(tiny_config, cell) for cell in tiny_config.cells}
    for cell, part in histories.items():
        describe_model(tiny_config, cell)
        history.write(history_file(cell), part)
    return histories


@pytest.mark.parametrize("difference", ["units", "view", "epochs", "seeds"])
def test_a_cell_trained_otherwise_is_refused(tiny_config: Config, difference: str) -> None:
    cell = tiny_config.cells["lstm"].model_copy(update={"units": 99})
    updates: dict[str, dict[str, Any]] = {
        "units": {"cells": tiny_config.cells | {"lstm": cell}},
        "view": {"sequence": tiny_config.sequence.model_copy(update={"view": "columns"})},
        "epochs": {"train": tiny_config.train.model_copy(update={"epochs": 9})},
        "seeds": {"seeds": [42, 43]},
    }

    with pytest.raises(UserError, match=r"(other seeds or epochs|another configuration) than params\.yaml"):
        read_histories(tiny_config.model_copy(update=updates[difference]))


def test_the_histories_of_all_cells_are_read(tiny_config: Config, expected: dict[str, list[Row]]) -> None:
    assert read_histories(tiny_config) == expected
    assert saved.describe(model_folder("lstm")) == (tiny_config.cells["lstm"], tiny_config.sequence)
