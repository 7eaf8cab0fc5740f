from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from accord.metric_names import in_words
from accord.sweep.names import folder_value, trial_name

VALUES: dict[str, Any] = {
    "cell.type": "lstm",
    "cell.units": 150,
    "train.learning_rate": 0.003,
    "train.clip_norm": None,
    "train.schedule": "cosine",
    "seed": 2,
}


@pytest.mark.parametrize(
    ("overrides", "constant", "name"),
    [
        ([], [], "lstm"),
        (["cell=lstm"], [], "lstm"),
        (["cell=lstm", "cell.units=150", "train.learning_rate=3e-3", "seed=2"], [], "lstm units=150 lr=0.003 seed=2"),
        (["train.learning_rate=3e-3", "cell=lstm"], ["cell=lstm"], "lstm lr=0.003"),
        (["train.clip_norm=null", "train.schedule=cosine"], [], "lstm clip=null schedule=cosine"),
        (["sequence=columns", "+train.learning_rate=0.003"], [], "lstm sequence=columns lr=0.003"),
        (["seed=2", "cell.units=150"], ["seed=0,1,2", "cell.units=150"], "lstm seed=2"),
    ],
)
def test_a_trial_is_named_by_its_cell_and_by_what_varies(overrides: list[str], constant: list[str], name: str) -> None:
    assert trial_name("cell", VALUES, overrides, constant) == name


@pytest.mark.parametrize(("metric", "words"), [("val.accuracy", "validation accuracy"), ("test.loss", "test loss")])
def test_a_metric_is_named_in_words(metric: str, words: str) -> None:
    assert in_words(metric) == words


@pytest.mark.parametrize(
    "name",
    ["a b", "it's", "a\\b", "a\\'b", "end\\", "a,b", "[x]", "{y: 1}", "a=b #1", "50%20", "(ü)", "trailing ", "~x"],
)
def test_any_folder_is_a_value_of_an_override(tmp_path: Path, name: str) -> None:
    override = f"hydra.sweep.dir={folder_value(tmp_path / name)}"
    assert OverridesParser.create().parse_override(override).value() == str(tmp_path / name)
