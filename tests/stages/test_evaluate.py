import hashlib
from pathlib import Path
from typing import Any

import pytest

from seqmnist.cells import saved
from seqmnist.config import Config
from seqmnist.errors import UserError
from seqmnist.files import write_json
from seqmnist.paths import model_folder
from seqmnist.stages.evaluate import (
    check_trained_as_configured,
    model_digests,
    table,
)
from seqmnist.training.history import METRICS, Row


def test_the_table_has_a_line_a_cell_and_a_line_a_verdict() -> None:
    def seed(test: float) -> dict[str, Any]:
        return {"selected": {"val": {"accuracy": 0.97518}, "test": {"accuracy": test, "loss": 0.094829}}}

    rnn = {"selected": {"epoch": 12.0}, "seeds": {"42": seed(0.97314)}}
    lstm = {"selected": {"epoch": 7.5}, "seeds": {"42": seed(0.98), "43": seed(0.99)}}

    head, *lines, verdict = table(
        {"rnn": rnn, "lstm": lstm, "claims": {"better": {"verdict": "not shown", "p": 0.25}}}
    ).splitlines()

    assert [line.split() for line in lines] == [
        ["rnn", "12", "0.9752", "0.9731", "0.0948"],
        ["lstm", "7.5", "0.9752", "±", "0.0000", "0.9850", "±", "0.0071", "0.0948", "±", "0.0000"],
    ]
    assert {len(line) for line in lines} == {len(head)}
    assert (
        verdict
        == "The LSTM is better: not shown (of these two models alone; give 6 seeds or more to speak of the cells)"
    )


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
