"""A check that the finished trials in a sweep's folder have the values that the sweep gives them now."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from accord.compose import changes, without_hydra
from accord.errors import UserError
from accord.paths import PARAMS
from accord.settings import read_yaml
from accord.sweep.folders import Result
from accord.sweep.search.settings import is_search
from accord.variants import as_pipeline


def check(config: DictConfig, sweep: Path, overrides: Sequence[str]) -> None:
    """Refuse a sweep that would replace a finished trial by one with other values.

    Args:
        config: The composed sweep.
        sweep: Folder of the sweep.
        overrides: Overrides of the sweep and its search spaces, as typed.

    Raises:
        UserError: The values of a finished trial differ from those that its number has now.
    """
    finished = {int(file.parent.name) for file in sweep.glob("[0-9]*/result.json") if _is_over(file.parent)}
    if not finished:
        return
    for number, own in enumerate(_trials(config, sweep, overrides)):
        if number in finished:
            differ = changes(read_yaml(sweep / str(number) / PARAMS), composed(config, own))
            if differ:
                there = differ[0].removeprefix("params.yaml: ")
                raise UserError(
                    f"{sweep / str(number)} has the result of other values ({there}): give another hydra.sweep.dir,"
                    " or the values that it was trained with"
                )


def composed(config: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Compose the trial with these overrides, and return its values as those of a pipeline."""
    trial = GlobalHydra.instance().config_loader().load_sweep_config(config, list(overrides))
    values: Any = OmegaConf.to_container(without_hydra(trial), resolve=True)
    return as_pipeline(values)


def _is_over(folder: Path) -> bool:
    result = Result.read(folder)
    return result is not None and result.is_over


def _trials(config: DictConfig, sweep: Path, overrides: Sequence[str]) -> Iterable[Sequence[str]]:
    """Return the overrides of each trial by number, as Hydra's sweeper or the search makes them."""
    if is_search(config):
        from accord.sweep.search.spaces import parse
        from accord.sweep.search.study import asked

        return asked(sweep, parse(overrides))
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    (batch,) = BasicSweeper.split_arguments(parser.parse_overrides(list(overrides)), max_batch_size=None)
    return batch
