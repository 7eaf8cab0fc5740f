"""Compose conf/ into params.yaml with Hydra, so that plain `dvc repro` sees edits in conf/."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import psutil

from accord.errors import UserError
from accord.experiments import check_tree
from accord.files import write_text
from accord.paths import CONF, PARAMS
from accord.settings import config_errors, flatten, read_yaml, self_contained
from accord.variants import check_pipeline

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Keys of the section `hydra` that Hydra itself sets anew for each composition.
_OF_EACH_COMPOSITION = ("job.", "mode", "overrides.", "runtime.", "searchpath")


def write_params() -> None:
    """Compose conf/ into params.yaml, and print each value that changes.

    Inside `dvc exp run`, DVC has composed params.yaml with the experiment's values; then it is only checked.

    Raises:
        UserError: A value is impossible, or the configuration can't be composed or kept in git.
    """
    check_tree()
    if "DVC_EXP_BASELINE_REV" in os.environ and PARAMS.exists():
        _refuse_interpolations_of_dvc()
        kept = read_yaml(PARAMS)
        check_pipeline(kept, str(PARAMS))
        print("params.yaml: kept as the experiment composed it; against conf/:")
        print("\n".join(changes(compose(CONF)[1], kept)) or "params.yaml: no difference")
        return
    text, values = compose(CONF)
    check_pipeline(values, str(CONF))
    previous: dict[str, Any] = {}
    with suppress(UserError):  # params.yaml may be missing or damaged: it is replaced below
        previous = read_yaml(PARAMS)
    for line in changes(previous, values) if previous else ["params.yaml: composed from conf/"]:
        print(line)
    write_text(PARAMS, text)


def compose(folder: Path, settings: Sequence[str] = ()) -> tuple[str, dict[str, Any]]:
    """Compose `folder`/config.yaml with overrides in Hydra's syntax; return YAML text and plain values.

    Raises:
        UserError: Hydra can't compose it, e.g. because of an unknown group option or a syntax error.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    with config_errors(str(folder)), initialize_config_dir(str(folder.resolve()), version_base="1.3"), self_contained():
        plain = hydra_compose(return_hydra_config=True)
        return resolved(hydra_compose("config", list(settings), return_hydra_config=True), plain)


def resolved(config: "DictConfig", plain: "DictConfig") -> tuple[str, dict[str, Any]]:
    """Return a composed configuration, without its section `hydra`, as YAML text and as plain values.

    Args:
        config: Configuration that Hydra composed from the project's files.
        plain: Configuration that Hydra composes without the project's files: its `hydra` section has the defaults.

    Raises:
        ValueError: A value of `hydra` would have no effect, or an interpolation would stay in the text.
    """
    from omegaconf import OmegaConf

    default, own = (flatten(cast("dict[str, Any]", OmegaConf.to_container(one.hydra))) for one in (plain, config))
    for key, value in own.items():
        if not key.startswith(_OF_EACH_COMPOSITION) and value != default.get(key):
            raise ValueError(f"hydra.{key} = {value} has no effect on the pipeline: it belongs in conf/search")
    values = cast("dict[str, Any]", OmegaConf.to_container(without_hydra(config), resolve=True))
    for key, value in flatten(values).items():
        if "${" in str(value):
            raise ValueError(f"{key} = {value}: params.yaml holds no interpolations, write the value down")
    return OmegaConf.to_yaml(OmegaConf.create(values)), values


def without_hydra(config: "DictConfig") -> "DictConfig":
    """Return a composed configuration without its section `hydra`."""
    from omegaconf import OmegaConf

    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return a line for each key whose value differs, e.g. `params.yaml: train.epochs 9 -> 15`."""
    old, new = flatten(before), flatten(after)
    pairs = {key: (old.get(key, "(absent)"), new.get(key, "(absent)")) for key in {**old, **new}}
    # Values are compared as text: 1, 1.0 and True are equal in Python but not in a configuration.
    return [f"params.yaml: {key} {one} -> {other}" for key, (one, other) in pairs.items() if str(one) != str(other)]


def _refuse_interpolations_of_dvc() -> None:
    """Refuse `dvc exp run --no-hydra -S key=${...}`: DVC has written the interpolation's value, maybe a secret."""
    for process in psutil.Process().parents():
        with suppress(psutil.Error):  # the process of another user can't be read
            command = process.cmdline()
            if "--no-hydra" in command and (given := next((part for part in command if "${" in part), None)):
                file = given.removeprefix("-S").partition("=")[0].rpartition(":")[0] or PARAMS
                raise UserError(
                    f"{given}: DVC has written its value to {file}, which goes to git: run `git checkout {file}`, then"
                    " give values without ${...}"
                )
