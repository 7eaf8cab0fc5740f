"""Convert between the configuration of a pipeline and that of a trial, which name variants (models, cells) differently.

A trial has one variant, in the section named by the group, and one seed. A pipeline may have the same form. Or it has
all variants by name in a section named by the group's plural, and all seeds in `seeds`. Then `workers` may say how many
seeds are trained in parallel. A variant may override values of a shared section, below that section's name.

    trial      model: {type: mlp, units: 32, train: {epochs: 9}}   train: {epochs: 5, batch_size: 10}   seed: 1
    pipeline   models: {mlp: {type: mlp, units: 32, train: {epochs: 9}}, sgd: ...}   train: ...   seeds: [1]
"""

from collections.abc import Mapping
from typing import Any

from accord.pipeline import check_matrix
from accord.project import find_project

SEED, SEEDS, WORKERS = "seed", "seeds", "workers"


def plural() -> str:
    """Return the name of the section with all variants: the group's name and an s."""
    return f"{find_project().variant}s"


def check_pipeline(values: dict[str, Any], origin: str) -> None:
    """Check the values of a pipeline's configuration, and that its variants are those that dvc.yaml trains.

    Raises:
        UserError: A value is impossible, or the variants differ; the message says what to do.
    """
    project = find_project()
    project.check_values(values, origin)
    if plural() in values:
        check_matrix(project.variant, values[plural()])


def trial_keys() -> tuple[set[str], set[str]]:
    """Return the top-level keys that a trial's configuration may have, and those that it must have."""
    project = find_project()
    names = {plural(): project.variant, SEEDS: SEED}
    fields = {name: field for name, field in project.config_model().model_fields.items() if name != WORKERS}
    required = {name for name, field in fields.items() if field.is_required()}
    return {names.get(name, name) for name in fields}, {names.get(name, name) for name in required}


def as_pipeline(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a trial's configuration into that of a pipeline with one variant and one seed."""
    project = find_project()
    fields = project.config_model().model_fields
    named: dict[str, tuple[str, Any]] = {}
    if plural() in fields:
        variant = values[project.variant]
        named[project.variant] = plural(), {str(variant["type"]): variant}
    if SEEDS in fields:
        named[SEED] = SEEDS, [values[SEED]]
    return dict(named.get(key, (key, value)) for key, value in values.items())


def sections(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the sections that affect the training of one variant, with its overrides merged into the shared ones."""
    project = find_project()
    variant = dict(values[plural()][name] if plural() in values else values[project.variant])
    outside = {plural(), project.variant, SEEDS, SEED, WORKERS, "tracking"}
    shared = {key: value for key, value in values.items() if key not in outside}
    for section in own_sections(variant, values):
        shared[section] = {**shared[section], **variant.pop(section)}
    return {project.variant: variant, **shared}


def own_sections(variant: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Return the names of the shared sections that this variant overrides, or may override."""
    return [key for key in variant if isinstance(variant[key], dict) and isinstance(values.get(key), dict)]
