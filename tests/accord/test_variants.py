from typing import Any

import pytest

from accord import variants
from accord.compose import compose
from accord.errors import UserError
from accord.paths import CONF
from accord.project import Project

TRIAL = {"model": {"type": "mlp", "rate": 0.1}, "train": {"epochs": 3}, "seed": 7, "more": {}}


def test_a_trial_is_a_pipeline_of_one_cell_and_one_seed() -> None:
    values = {"cell": {"type": "lstm", "units": 3}, "train": {"epochs": 2}, "seed": 5, "nonsense": 1}
    before = repr(values)
    assert variants.as_pipeline(values) == {
        "cells": {"lstm": {"type": "lstm", "units": 3}},
        "train": {"epochs": 2},
        "seeds": [5],
        "nonsense": 1,  # unknown keys are kept, for the model to refuse
    }
    assert repr(values) == before


def test_a_project_with_one_seed_keeps_it(digits: Project) -> None:
    assert digits.variant == "model"
    values = variants.as_pipeline(TRIAL)
    assert values == {"models": {"mlp": TRIAL["model"]}, "train": {"epochs": 3}, "seed": 7, "more": {}}
    assert [*values] == ["models", "train", "seed", "more"]


@pytest.mark.usefixtures("flat")
def test_a_pipeline_of_one_model_has_a_trials_own_values() -> None:
    assert variants.as_pipeline(TRIAL) == TRIAL
    assert variants.plural() == "models"


def test_a_trial_has_the_keys_of_the_configuration(request: pytest.FixtureRequest) -> None:
    keys = {"cell", "data", "seed", "sequence", "tracking", "train"}
    assert variants.trial_keys() == (keys, keys)
    request.getfixturevalue("flat")
    required = {"data", "model", "train", "seed"}
    assert variants.trial_keys() == (required | {"tracking"}, required)


def test_a_variants_own_values_override_shared_ones() -> None:
    values: dict[str, Any] = {
        "cells": {"rnn": {"type": "rnn", "units": 3, "train": {"epochs": 9}, "names": {}}, "lstm": {}},
        "train": {"epochs": 5, "rate": 0.1},
        "data": {"name": "tiny"},
        "seeds": [1],
        "tracking": {},
    }
    assert variants.sections(values, "rnn") == {
        "cell": {"type": "rnn", "units": 3, "names": {}},
        "train": {"epochs": 9, "rate": 0.1},
        "data": {"name": "tiny"},
    }
    assert variants.own_sections(values["cells"]["rnn"], values) == ["train"]
    assert values["cells"]["rnn"]["train"] == {"epochs": 9}, "the original values are unchanged"


@pytest.mark.usefixtures("digits")
def test_the_pipeline_of_the_example_is_what_dvc_trains() -> None:
    values = compose(CONF)[1]
    variants.check_pipeline(values, "conf")
    less: dict[str, Any] = values | {"models": {"sgd": values["models"]["sgd"]}}
    with pytest.raises(UserError, match=r"has the models sgd, dvc\.yaml trains sgd, mlp: make them equal"):
        variants.check_pipeline(less, "conf")
    with pytest.raises(UserError, match=r"\Aconf: seed = -1 is impossible"):
        variants.check_pipeline(values | {"seed": -1}, "conf")
