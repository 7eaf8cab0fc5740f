"""Refusals of values that would have no effect on a sweep's trials, or not the one that is meant."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from seqmnist.config import in_one_line, self_contained
from seqmnist.paths import CONF
from seqmnist.sweep.names import key_of

_KEYS = {"data", "sequence", "train", "tracking", "cell", "seed"}
_SWEEP_ONLY = ("hydra.sweep.", "hydra.sweeper", "hydra.launcher")
_TRIAL_ONLY = ("hydra.run.",)


def ineffective(config: DictConfig) -> str | None:
    """Return why a composed configuration can't be what its author wants, in one line; None if it can."""
    return _foreign(config) or _unresolved(config) or _of_the_other_mode(config.hydra)


def shadowed(config: DictConfig, overrides: Iterable[str]) -> str | None:
    """Return what is wrong with a trial that sets a value of `train` which its cell replaces; None if nothing."""
    own = config.cell.get("train") or {}
    for override in overrides:
        group, _, name = key_of(override).partition(".")
        if group == "train" and name in own:
            cell, value = config.cell.type, override.partition("=")[2]
            return f"train.{name} = {value} has no effect on {cell}, whose own train has it: set cell.train.{name}"
    return None


def values_of_search(hydra: Any, overrides: list[str]) -> list[str]:
    """Return the values of `train` that the file of conf/search sets and no override replaces, as overrides."""
    name, given = hydra.runtime.choices.get("search"), {key_of(override) for override in overrides}
    files = [Path(source.path, "search", f"{name}.yaml") for source in hydra.runtime.config_sources]
    file = next((file for file in files if file.is_file()), None)  # Hydra takes the first, too
    values = OmegaConf.select(OmegaConf.load(file), "train") if name and file else None
    return [f"train.{key}={value}" for key, value in (values or {}).items() if f"cell.train.{key}" not in given]


def _foreign(config: DictConfig) -> str | None:
    if name := config.hydra.runtime.choices.get("experiment"):
        run = f"`dvc exp run -S experiment={name}`"
        return f"experiment={name}: {CONF}/experiment is for the pipeline, {run}; a sweep has values and {CONF}/search"
    keys = {str(key) for key in config} - {"hydra"}
    if keys and keys != _KEYS:  # `--hydra-help` has none
        wrong = ", ".join(sorted(keys ^ _KEYS))
        return f"{wrong}: a sweep's trial has exactly the keys {', '.join(sorted(_KEYS))}"
    return None


def _unresolved(config: DictConfig) -> str | None:
    for key in (key for key in config if key != "hydra"):  # a launcher or a folder may have a value of the environment
        try:
            with self_contained():
                if OmegaConf.is_config(value := config[key]):
                    OmegaConf.to_container(value, resolve=True)
        except InterpolationToMissingValueError:  # a value that only a trial has, as its number
            continue
        except OmegaConfBaseException as error:
            return in_one_line(error)
    return None


def _of_the_other_mode(hydra: Any) -> str | None:
    if hydra.mode is None:  # nothing is run
        return None
    is_sweep = hydra.mode == RunMode.MULTIRUN
    for override in hydra.overrides.hydra:
        if key_of(override).replace("/", ".").startswith(_TRIAL_ONLY if is_sweep else _SWEEP_ONLY):
            return f"{override} has no effect {'with' if is_sweep else 'without'} -m"
    if hydra.sweeper.get("params") and not is_sweep:
        return f"hydra.sweeper.params of search={hydra.runtime.choices.get('search')} has no effect without -m"
    return None
