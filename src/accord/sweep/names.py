"""Names of trials: the variant, and each value that the sweep varies."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import ListConfig, OmegaConf

_SHORT = {"learning_rate": "lr", "batch_size": "batch", "clip_norm": "clip", "label_smoothing": "smoothing"}


def trial_name(variant: str, values: Mapping[str, Any], overrides: Sequence[str], constant: Sequence[str] = ()) -> str:
    """Return the name of a trial, e.g. `lstm units=150 lr=0.003 seed=2`: the variant, and what its overrides vary.

    `values` is the trial's configuration by dotted keys; `constant` are the overrides that all trials have.
    """
    varied = [override for override in overrides if override not in constant]
    keys = [key_of(override) for override in varied]
    parts = [f"{short(key)}={_text(values[key])}" for key in keys if key in values]
    groups = [override for override, key in zip(varied, keys, strict=True) if key not in values and key != variant]
    return " ".join([values[f"{variant}.type"], *groups, *parts])


def as_typed(overrides: ListConfig | list[str]) -> list[str]:
    """Return overrides as the words that were typed: OmegaConf would put in what their ${...} give where they stand."""
    words: list[str] = OmegaConf.to_container(overrides)  # type: ignore[assignment]
    return words


def key_of(override: str) -> str:
    """Return the key of an override `key=value`, which may add (+) or remove (~) it."""
    return override.partition("=")[0].lstrip("+~")


def folder_value(folder: Path) -> str:
    """Return a folder's absolute path as a value of an override."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(str(folder.resolve()), Quote.single).with_quotes()


def short(key: str) -> str:
    """Return the last part of a dotted key, shorter still where the field has a short word for it."""
    last = key.rpartition(".")[2]
    return _SHORT.get(last, last)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
