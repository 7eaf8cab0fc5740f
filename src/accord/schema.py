"""The JSON schema of a project's configuration, with which an editor completes and checks the files in conf/."""

import json
from typing import Any

from accord.files import write_text
from accord.paths import CONF
from accord.project import find_project
from accord.variants import SEED, SEEDS, plural

SCHEMA = CONF / ".schema.json"  # hidden, because no stage depends on hidden files

_DEFAULTS = {"type": "array", "description": "Hydra's defaults list: the files that this one is merged with."}
_HYDRA = {"type": "object", "description": "Settings of Hydra itself."}
_INTERPOLATION = {"type": "string", "pattern": r"\$\{", "description": "The value of another key, as ${train.epochs}."}


def write_schema() -> None:
    """Write conf/.schema.json, generated from the project's pydantic model."""
    write_text(SCHEMA, json.dumps(schema(), indent=2) + "\n")
    print(f"{SCHEMA}: written")


def schema() -> dict[str, Any]:
    """Return the schema of the files directly in conf/; its property `train`, e.g., is the schema of conf/train/*.yaml.

    No key is required, because a file holds only a part of the configuration. An interpolation may stand for any
    scalar. A file directly in conf/ may have the keys of a pipeline and those of a trial.
    """
    whole = find_project().config_model().model_json_schema()
    sections = whole.setdefault("$defs", {})
    keys = whole["properties"]
    _add_keys_of_a_trial(keys)
    _type_own_values(keys, sections)
    for name in {_section_of(key) for key in keys.values()} - {""}:
        sections[name]["properties"]["defaults"] = _DEFAULTS
    keys |= {"defaults": _DEFAULTS, "hydra": _HYDRA}
    for section in (whole, *sections.values()):
        section.pop("required", None)
        for name, key in section.get("properties", {}).items():
            if "$ref" not in key and key.get("type") not in {"array", "object"}:
                section["properties"][name] = {"anyOf": [key, {"$ref": "#/$defs/Interpolation"}]}
    sections["Interpolation"] = _INTERPOLATION
    return whole


def _add_keys_of_a_trial(keys: dict[str, Any]) -> None:
    """Add the section of one variant and the key of one seed, if a pipeline has sections for several."""
    if plural() in keys:
        named = keys[plural()]  # pydantic writes `patternProperties` if the model restricts the variants' names
        by_pattern = named.get("patternProperties") or {"": named["additionalProperties"]}
        keys[find_project().variant] = next(iter(by_pattern.values()))
    if SEEDS in keys:
        keys[SEED] = keys[SEEDS]["items"]


def _type_own_values(keys: dict[str, Any], sections: dict[str, Any]) -> None:
    """Give a variant's override of a shared section, such as `cell.train`, the schema of that section."""
    own = sections[_section_of(keys[find_project().variant])]["properties"]
    own |= {name: keys[name] for name in own if name in keys and own[name].get("additionalProperties") is True}


def _section_of(key: dict[str, Any]) -> str:
    """Return the name of the section that a key refers to, or "" if its value is no section."""
    return str(key.get("$ref", "")).removeprefix("#/$defs/")
