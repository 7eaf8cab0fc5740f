"""Names of trials, made of the variant and the swept values, and helpers for Hydra's overrides."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import ListConfig, OmegaConf

_SHORT = {"learning_rate": "lr", "batch_size": "batch", "clip_norm": "clip", "label_smoothing": "smoothing"}


def trial_name(variant: str, values: Mapping[str, Any], overrides: Sequence[str], constant: Sequence[str] = ()) -> str:
    """Return the name of a trial, e.g. `lstm units=150 lr=0.003 seed=2`.

    Args:
        variant: Key of the variant, e.g. `cell`.
        values: The trial's configuration by dotted keys.
        overrides: Overrides of the trial.
        constant: Overrides that all trials of the sweep share; the name leaves them out.
    """
    varied = [override for override in overrides if override not in constant]
    keys = [key_of(override) for override in varied]
    parts = [f"{short(key)}={_text(values[key])}" for key in keys if key in values]
    groups = [override for override, key in zip(varied, keys, strict=True) if key not in values and key != variant]
    return " ".join([values[f"{variant}.type"], *groups, *parts])


def as_typed(overrides: ListConfig | list[str]) -> list[str]:
    """Return overrides as typed: OmegaConf itself would resolve their interpolations, in the wrong place."""
    words: list[str] = OmegaConf.to_container(overrides)  # type: ignore[assignment]
    return words


def key_of(override: str) -> str:
    """Return the key of an override such as `key=value`, `+key=value` or `~key`."""
    return override.partition("=")[0].lstrip("+~")


def folder_value(folder: Path) -> str:
    """Return a folder's absolute path, quoted as the value of an override."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(str(folder.resolve()), Quote.single).with_quotes()


def short(key: str) -> str:
    """Return the last part of a dotted key, or its abbreviation such as `lr`."""
    last = key.rpartition(".")[2]
    return _SHORT.get(last, last)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
