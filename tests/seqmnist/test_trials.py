from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from accord.compose import compose as compose_pipeline
from accord.errors import UserError
from accord.settings import flatten
from seqmnist import config, trials
from seqmnist.config import Config

CONF = Path(__file__).parents[2] / "conf"
SHADOWED = "train.epochs = 3 has no effect on lstm, whose own train has it: set cell.train.epochs"


def composed(*overrides: str) -> Any:
    """Plain values of a composed trial."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("sweep", overrides=list(overrides)), resolve=True)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_without_overrides_a_trial_is_what_the_pipeline_trains(cell: str) -> None:
    values = composed(f"cell={cell}")
    trial = config.validate(trials.trial_values(values), "trial")
    pipeline = config.validate(compose_pipeline(CONF)[1], "pipeline")
    assert trial.cells[cell] == pipeline.cells[cell]
    assert trial.train_of(cell) == pipeline.train_of(cell)
    assert (trial.data, trial.sequence, trial.seeds) == (pipeline.data, pipeline.sequence, pipeline.seeds)
    assert values == composed(f"cell={cell}"), "what it is made of stays as it is"


def test_an_added_key_reaches_the_schema_that_refuses_it() -> None:
    values = trials.trial_values(composed("+nonsense=1"))
    with pytest.raises(UserError, match=r"params\.yaml: nonsense: unknown key"):
        trials.run_tags(values)


def test_runs_of_the_same_data_have_the_same_tags(tiny_values: dict[str, Any]) -> None:
    tags = trials.run_tags(tiny_values)
    assert list(tags) == ["data.sha256"]
    assert trials.run_tags(tiny_values | {"seeds": [1]}) == tags
    assert trials.run_tags(compose_pipeline(CONF)[1]) != tags


@pytest.mark.parametrize("overrides", [["train.epochs=3"], ["cell=lstm", "+train.epochs=3", "train.batch_size=5"]])
def test_a_value_that_the_cell_replaces_is_refused(overrides: list[str]) -> None:
    assert trials.ineffective(composed("+cell.train.epochs=2"), overrides) == SHADOWED


@pytest.mark.parametrize("overrides", [["train.batch_size=5"], ["cell.train.epochs=3"], ["train=notebook"], ["seed=1"]])
def test_values_that_have_an_effect_are_not_refused(overrides: list[str]) -> None:
    assert trials.ineffective(composed("+cell.train.epochs=2"), overrides) is None
    assert trials.ineffective(composed(), [*overrides, "train.epochs=3"]) is None


def test_values_of_a_search_are_looked_at_as_overrides_are() -> None:
    values = composed("+cell.train={epochs: 1, shift: 1}")
    searched = ["seed=2", "train.epochs=3", "train.shift=2"]
    assert trials.ineffective(values, ["seed=1"], searched) == SHADOWED
    assert str(trials.ineffective(values, ["cell.train.epochs=1"], searched)).startswith(
        "train.shift = 2 has no effect"
    )
    assert trials.ineffective(values, ["cell.train.epochs=1", "+cell.train.shift=1"], searched) is None


@pytest.fixture
def trial(tiny_config: Config) -> Callable[..., dict[str, Any]]:
    """Makes the flat parameters of a trial that the tiny pipeline trains, with some replaced."""

    def make(**replaced: Any) -> dict[str, Any]:
        own = {key.replace("__", "."): value for key, value in replaced.items()}
        return flatten(tiny_config.parameters_of("lstm", 42)) | own

    return make


def test_what_the_pipeline_trains_anyway_needs_no_values(trial: Any, tiny_values: dict[str, Any]) -> None:
    assert trials.promotion(trial(), tiny_values) == ({}, [], [])


def test_a_cells_own_values_stand_below_it(trial: Any, tiny_values: dict[str, Any]) -> None:
    values, settings, remarks = trials.promotion(trial(cell__units=9, train__clip_norm=1.0), tiny_values)
    assert values == {"cells": {"lstm": {"units": 9, "train": {"clip_norm": 1.0}}}}
    assert (settings, remarks) == ([], [])


def test_what_all_cells_share_is_a_setting(trial: Any, tiny_values: dict[str, Any]) -> None:
    values, settings, remarks = trials.promotion(trial(seed=7, sequence__view="columns"), tiny_values)
    assert values == {}
    assert settings == ["sequence.view=columns", "seeds=[7]"]
    assert remarks == ["seed 7 is not the pipeline's: with it, the other cells are trained anew too"]


def test_a_pipeline_that_is_not_valid_is_refused(trial: Any, tiny_values: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"\Aconf: seeds = "):
        trials.promotion(trial(), tiny_values | {"seeds": []})
