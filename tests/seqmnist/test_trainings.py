import copy
from typing import Any

import pytest

from accord.files import sha256_json
from accord.settings import flatten
from seqmnist.config import Config, validate


def changed(values: dict[str, Any], key: str, value: Any) -> Config:
    """The configuration with one value at a dotted key replaced."""
    values = copy.deepcopy(values)
    *parents, last = key.split(".")
    place = values
    for parent in parents:
        place = place[parent]
    assert place.get(last) != value
    place[last] = value
    return validate(values, "changed")


def test_parameters_have_the_same_names_for_every_cell(tiny_values: dict[str, Any]) -> None:
    configuration = changed(tiny_values, "cells.lstm.train", {"epochs": 9})

    rnn, lstm = (flatten(configuration.parameters_of(cell, 42)) for cell in ("rnn", "lstm"))

    assert list(rnn) == list(lstm)
    assert {name for name in rnn if rnn[name] != lstm[name]} == {"cell.type", "train.epochs"}


def test_parameters_are_those_of_the_contract(tiny_config: Config) -> None:
    names = list(flatten(tiny_config.parameters_of("rnn", 42)))

    assert {"cell.type", "cell.units", "cell.shards", "seed", "sequence.view", "data.name"} <= set(names)
    assert {name for name in names if name.startswith("train.")} == {
        f"train.{key}" for key in tiny_config.train.model_dump()
    }
    assert {name.partition(".")[0] for name in names} == {"cell", "train", "data", "sequence", "seed"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.epochs", 7),
        ("train.clip_norm", 1.0),
        ("cells.rnn.units", 5),
        ("cells.rnn.shards", 3),
        ("cells.rnn.type", "lstm"),
        ("cells.rnn.train", {"learning_rate": 0.5}),
        ("sequence.view", "columns"),
    ],
)
def test_a_recipe_changes_with_what_the_training_depends_on(tiny_values: dict[str, Any], key: str, value: Any) -> None:
    before = validate(tiny_values, "tiny").recipe_of("rnn", 42)

    after = changed(tiny_values, key, value).recipe_of("rnn", 42)

    assert sha256_json(after) != sha256_json(before)


def test_a_recipe_changes_with_the_seed(tiny_config: Config) -> None:
    assert tiny_config.recipe_of("rnn", 1) != tiny_config.recipe_of("rnn", 2)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tracking.experiment", "another"),
        ("tracking.uri", "http://server"),
        ("seeds", [42, 43]),
        ("cells.lstm.units", 5),
        ("cells.lstm.train", {"epochs": 9}),
        ("data.directory", "/elsewhere"),
    ],
)
def test_a_recipe_stays_with_all_else(tiny_values: dict[str, Any], key: str, value: Any) -> None:
    before = validate(tiny_values, "tiny").recipe_of("rnn", 42)

    after = changed(tiny_values, key, value).recipe_of("rnn", 42)

    assert sha256_json(after) == sha256_json(before)


def test_a_recipe_holds_the_values_that_a_cell_replaces(tiny_values: dict[str, Any]) -> None:
    own = changed(tiny_values, "cells.rnn.train", {"learning_rate": 0.5})
    shared = changed(tiny_values, "train.learning_rate", 0.5)

    assert own.recipe_of("rnn", 42) == shared.recipe_of("rnn", 42)
    assert own.recipe_of("lstm", 42) != shared.recipe_of("lstm", 42)
