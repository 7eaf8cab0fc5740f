"""Compose conf/ into params.yaml, so that plain `dvc repro` honours an edit under conf/."""

import os
from pathlib import Path
from typing import Any, cast

from seqmnist.config import Config, flatten, read_yaml, validate, without_environment
from seqmnist.errors import UserError, run_command
from seqmnist.files import write_text
from seqmnist.paths import CONF, PARAMS

PIPELINE = Path("dvc.yaml")


def main() -> None:
    """Write params.yaml; inside `dvc exp run`, which has composed it with the experiment's values, only check it."""
    if "DVC_EXP_BASELINE_REV" in os.environ and PARAMS.exists():
        kept = read_yaml(PARAMS)
        check_matrix(validate(kept, str(PARAMS)))
        print("params.yaml: kept as the experiment composed it; against conf/:")
        print("\n".join(changes(compose(CONF)[1], kept)) or "params.yaml: no difference")
        return
    text, values = compose(CONF)
    check_matrix(validate(values, str(CONF)))
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
        with without_environment(), initialize_config_dir(str(folder.resolve()), version_base="1.3"):
            config = hydra_compose("config")
            OmegaConf.resolve(config)
    except Exception as error:  # whatever a broken file makes Hydra, OmegaConf or PyYAML raise
        raise UserError(f"{folder}: {' '.join(str(error).split())}") from None
    return OmegaConf.to_yaml(config), cast("dict[str, Any]", OmegaConf.to_container(config))


def check_matrix(config: Config) -> None:
    """Refuse cells that dvc.yaml doesn't train, which would only show as a missing file at the end.

    Raises:
        UserError: the configured cells are not those of dvc.yaml's matrix.
    """
    from omegaconf import OmegaConf

    matrix = OmegaConf.load(PIPELINE).stages.train.matrix.cell  # DVC has read this file: it is whole
    if sorted(matrix) != sorted(config.cells):
        configured, trained = ", ".join(config.cells), ", ".join(matrix)
        raise UserError(f"conf/config.yaml has the cells {configured}, dvc.yaml trains {trained}: make them equal")


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
