from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from accord.compose import compose as compose_pipeline
from accord.errors import UserError
from accord.variants import as_pipeline
from seqmnist import config, trials
from seqmnist.project import PROJECT

CONF = Path(__file__).parents[2] / "conf"


def composed(*overrides: str) -> Any:
    """Plain values of a composed trial."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("sweep", overrides=list(overrides)), resolve=True)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_without_overrides_a_trial_is_what_the_pipeline_trains(cell: str) -> None:
    values = composed(f"cell={cell}")
    trial = config.validate(as_pipeline(values), "trial")
    pipeline = config.validate(compose_pipeline(CONF)[1], "pipeline")
    assert trial.cells[cell] == pipeline.cells[cell]
    assert trial.train_of(cell) == pipeline.train_of(cell)
    assert (trial.data, trial.sequence, trial.seeds) == (pipeline.data, pipeline.sequence, pipeline.seeds)
    assert values == composed(f"cell={cell}"), "what it is made of stays as it is"


def test_an_added_key_reaches_the_schema_that_refuses_it() -> None:
    values = as_pipeline(composed("+nonsense=1"))
    with pytest.raises(UserError, match=r"params\.yaml: nonsense: unknown key"):
        PROJECT.check_values(values, "params.yaml")


def test_runs_of_the_same_data_have_the_same_tags(tiny_values: dict[str, Any]) -> None:
    tags = trials.run_tags(tiny_values)
    assert list(tags) == ["data.sha256"]
    assert trials.run_tags(tiny_values | {"seeds": [1]}) == tags
    assert trials.run_tags(compose_pipeline(CONF)[1]) != tags
