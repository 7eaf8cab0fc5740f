"""Compose conf/ into params.yaml, so that plain `dvc repro` honours an edit under conf/."""

import os
from pathlib import Path
from typing import Any, cast

from seqmnist.config import flatten, read_yaml, validate
from seqmnist.errors import UserError, run_command
from seqmnist.files import write_text
from seqmnist.paths import PARAMS

CONF = Path("conf")


def main() -> None:
    """Write params.yaml; inside `dvc exp run`, which has composed it with the experiment's values, only check it."""
    if "DVC_EXP_BASELINE_REV" in os.environ and PARAMS.exists():
        validate(read_yaml(PARAMS), str(PARAMS))
        print("params.yaml: kept as the experiment composed it")
        return
    text, values = compose(CONF)
    validate(values, str(CONF))
    previous = _previous()
    for line in changes(previous, values) if previous else ["params.yaml: composed from conf/"]:
        print(line)
    write_text(PARAMS, text)


def compose(folder: Path) -> tuple[str, dict[str, Any]]:
    """The configuration with root `folder`/config.yaml, as YAML text and as plain values.

    Raises:
        UserError: Hydra can't compose it, e.g. for a group option that doesn't exist or a syntax error.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    try:
        with initialize_config_dir(str(folder.resolve()), version_base="1.3"):
            config = hydra_compose("config")
        OmegaConf.resolve(config)
    except Exception as error:  # whatever a broken file makes Hydra, OmegaConf or PyYAML raise
        raise UserError(f"{folder}: {' '.join(str(error).split())}") from None
    return OmegaConf.to_yaml(config), cast("dict[str, Any]", OmegaConf.to_container(config))


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """A line for each key whose value differs, e.g. `params.yaml: train.epochs 9 -> 15`."""
    old, new = flatten(before), flatten(after)
    pairs = {key: (old.get(key, "(absent)"), new.get(key, "(absent)")) for key in {**old, **new}}
    # By their text: 1, 1.0 and true are equal in Python and not in a configuration.
    return [f"params.yaml: {key} {one} -> {other}" for key, (one, other) in pairs.items() if str(one) != str(other)]


def _previous() -> dict[str, Any]:
    """What params.yaml held; nothing where it is missing or broken, for it is about to be replaced."""
    try:
        return read_yaml(PARAMS)
    except UserError:
        return {}


if __name__ == "__main__":
    run_command(main)
