"""Refusals of values that would have no effect on a sweep's trials, or not the one that is meant."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from seqmnist.paths import CONF
from seqmnist.settings import in_one_line, self_contained
from seqmnist.sweep.names import key_of

_KEYS = {"data", "sequence", "train", "tracking", "cell", "seed"}
_SWEEP_ONLY = ("hydra.sweep.", "hydra.sweeper", "hydra.launcher")
_TRIAL_ONLY = ("hydra.run.",)


def ineffective(config: DictConfig) -> str | None:
    """Return why a composed configuration can't be what its author wants, in one line; None if it can."""
    return _foreign(config) or _unresolved(config) or _of_the_other_mode(config.hydra)


def shadowed(config: DictConfig, overrides: Sequence[str], searched: Iterable[str] = ()) -> str | None:
    """Return what is wrong with a trial that sets a value of `train` which its cell replaces; None if nothing.

    Args:
        config: Composed configuration of the trial.
        overrides: Overrides of the command line.
        searched: Values of conf/search; one that an override of the cell replaces has no effect on purpose.
    """
    own, given = config.cell.get("train") or {}, {key_of(override) for override in overrides}
    for override in [*(one for one in searched if f"cell.{key_of(one)}" not in given), *overrides]:
        group, _, name = key_of(override).partition(".")
        if group == "train" and name in own:
            cell, value = config.cell.type, override.partition("=")[2]
            return f"train.{name} = {value} has no effect on {cell}, whose own train has it: set cell.train.{name}"
    return None


def values_of_search(hydra: Any) -> list[str]:
    """Return the values of `train` that the file of conf/search sets, as overrides."""
    if not (name := hydra.runtime.choices.get("search")):
        return []
    sources = [Path(source.path) for source in hydra.runtime.config_sources if source.schema == "file"]
    files = [file for folder in sources if (file := folder / "search" / f"{name}.yaml").is_file()]
    values = OmegaConf.select(OmegaConf.load(files[0]), "train") if files else None  # Hydra takes the first, too
    return [f"train.{key}={value}" for key, value in (values or {}).items()]


def _foreign(config: DictConfig) -> str | None:
    if name := config.hydra.runtime.choices.get("experiment"):
        run = f"`dvc exp run -S experiment={name}`"
        return f"experiment={name}: {CONF}/experiment is for the pipeline, {run}; a sweep has values and {CONF}/search"
    keys = {str(key) for key in config} - {"hydra"}
    if keys and keys != _KEYS:  # `--hydra-help` has none
        wrong = ", ".join(sorted(keys ^ _KEYS))
        return f"unknown or missing keys: {wrong}; a trial has {', '.join(sorted(_KEYS))}"
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
