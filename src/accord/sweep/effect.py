"""Checks for values that would have no effect on a sweep's trials, or another effect than intended."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from accord.compose import without_hydra
from accord.paths import CONF
from accord.project import find_project
from accord.settings import flatten, in_one_line, self_contained
from accord.sweep.names import as_typed, key_of
from accord.variants import own_sections, trial_keys

_SWEEP_ONLY = ("hydra.sweep.", "hydra.sweeper", "hydra.launcher")
_TRIAL_ONLY = ("hydra.run.",)
_SUBFOLDER = "${hydra.job.num}"


def ineffective(config: DictConfig) -> str | None:
    """Return in one line why a configuration has unknown keys or values without effect; None if it is fine."""
    return _foreign(config) or _unresolved(config) or _of_the_other_mode(config.hydra) or _displaced(config.hydra)


def values_of_search(hydra: Any) -> list[str]:
    """Return the values that the chosen file of conf/search sets, without Hydra's own, as overrides."""
    if not (name := hydra.runtime.choices.get("search")):
        return []
    sources = [Path(source.path) for source in hydra.runtime.config_sources if source.schema == "file"]
    files = [file for folder in sources if (file := folder / "search" / f"{name}.yaml").is_file()]
    if not files:
        return []
    values: Any = OmegaConf.to_container(OmegaConf.load(files[0]))  # Hydra also takes the first
    own = {key: value for key, value in (values or {}).items() if key not in {"defaults", "hydra"}}
    return [f"{key}={value}" for key, value in flatten(own).items()]


def replaced_value(values: Mapping[str, Any], overrides: Sequence[str], searched: Iterable[str] = ()) -> str | None:
    """Return the error of a trial that sets a shared value which its variant replaces; None if it sets none.

    Args:
        values: Plain values of the composed trial.
        overrides: Overrides of the command line.
        searched: Overrides from conf/search. One is allowed where the command line overrides the variant's own value.
    """
    group = find_project().variant
    variant, given = values[group], {key_of(override) for override in overrides}
    replaceable = own_sections(variant, values)
    for override in [*(one for one in searched if f"{group}.{key_of(one)}" not in given), *overrides]:
        section, _, name = key_of(override).partition(".")
        if section in replaceable and name in variant[section]:
            kind, value = variant["type"], override.partition("=")[2]
            own = f"{group}.{section}.{name}"
            return f"{section}.{name} = {value} has no effect on {kind}, whose own {section} sets it: set {own}"
    return None


def _foreign(config: DictConfig) -> str | None:
    """Return why the keys are not those of a trial: an experiment, unknown or missing keys, or no variant type."""
    if name := config.hydra.runtime.choices.get("experiment"):
        run = f"`dvc exp run -S experiment={name}`"
        return f"experiment={name}: {CONF}/experiment is for the pipeline ({run}); for a sweep use {CONF}/search"
    keys = {str(key) for key in config} - {"hydra"}
    known, required = trial_keys()
    if keys and (wrong := (keys - known) | (required - keys)):  # with `--hydra-help` there are no keys
        return f"unknown or missing keys: {', '.join(sorted(wrong))}; a trial has only {', '.join(sorted(known))}"
    variant = find_project().variant
    if keys and "type" not in config[variant]:
        return f"{variant} has no key `type`: add `type: <file's name>` to each file of {CONF}/{variant}"
    return None


def _unresolved(config: DictConfig) -> str | None:
    """Return why an interpolation in a trial's values can't be resolved; None if all can."""
    # Values below `hydra` may read the environment, so they are left out.
    own = without_hydra(config)
    for key in own:
        try:
            with self_contained():
                if OmegaConf.is_config(value := own[key]):
                    OmegaConf.to_container(value, resolve=True)
        except InterpolationToMissingValueError:  # it depends on a value that only a trial has
            continue
        except OmegaConfBaseException as error:
            return in_one_line(error)
    return None


def _of_the_other_mode(hydra: Any) -> str | None:
    """Return why a setting has no effect: it is for a sweep and this is one trial, or the reverse."""
    if hydra.mode is None:  # the command runs no trial
        return None
    is_sweep = hydra.mode == RunMode.MULTIRUN
    for override in as_typed(hydra.overrides.hydra):
        if key_of(override).replace("/", ".").startswith(_TRIAL_ONLY if is_sweep else _SWEEP_ONLY):
            return f"{override} has no effect {'with' if is_sweep else 'without'} -m"
    if hydra.sweeper.get("params") and not is_sweep:
        return f"hydra.sweeper.params of search={hydra.runtime.choices.get('search')} has no effect without -m"
    return None


def _displaced(hydra: Any) -> str | None:
    """Return why trials would not run in the folders named by their numbers, where other code looks for them."""
    if hydra.mode is None:  # the command runs no trial
        return None
    if hydra.job.chdir:
        return "hydra.job.chdir = true has no effect, since a trial works in its own folder: leave it out"
    subfolder = OmegaConf.to_container(hydra.sweep)["subdir"]  # type: ignore[call-overload, index]  # unresolved
    if subfolder != _SUBFOLDER:
        return f"hydra.sweep.subdir = {subfolder}: a trial's folder is named by its number: leave it out"
    return None
