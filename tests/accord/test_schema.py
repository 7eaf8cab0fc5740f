import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from accord.paths import CONF
from accord.project import Project
from accord.schema import SCHEMA, schema, write_schema
from tests.projects import EXAMPLE, ROOT, as_project

NAME = re.compile(r"^# yaml-language-server: \$schema=(\S+?)(#\S+)?$", re.MULTILINE)
PROJECTS = {ROOT: "seqmnist.project:PROJECT", EXAMPLE: "digits.project:PROJECT"}
FILES = [(root, file) for root in PROJECTS for file in sorted((root / CONF).rglob("*.yaml"))]


@pytest.fixture(params=PROJECTS, ids=lambda root: root.name)
def root(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make each project of the repository current in turn, and return its root."""
    for _ in as_project(PROJECTS[request.param], monkeypatch):
        yield request.param


def checker(root: Path, part: str = "") -> jsonschema.Draft202012Validator:
    whole = json.loads((root / SCHEMA).read_text())
    return jsonschema.Draft202012Validator({"$defs": whole["$defs"], "$ref": part} if part else whole)


def test_the_file_in_git_is_the_schema_of_the_code(root: Path) -> None:
    assert json.loads((root / SCHEMA).read_text()) == schema()


@pytest.mark.usefixtures("root")
def test_the_schema_is_a_valid_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize(("root", "file"), FILES, ids=[str(file.relative_to(ROOT)) for _, file in FILES])
def test_each_file_of_conf_names_its_schema_and_agrees_with_it(root: Path, file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    found = NAME.search(text)
    assert found, f"{file} names no schema"
    assert (file.parent / found[1]).resolve() == root / SCHEMA
    group = file.parent.relative_to(root / CONF).name
    global_package = text.startswith("# @package _global_\n")
    assert found[2] == (f"#/properties/{group}" if group and not global_package else None)
    whole = json.loads((root / SCHEMA).read_text())
    part = whole["properties"][group]["$ref"] if found[2] else ""
    checker(root, part).validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("", {"trian": {"epochs": 5}}, "'trian' was unexpected"),
        ("", {"cells": {"rnn": {"units": 0}}}, "cells.rnn.units"),
        ("", {"cells": {"rnn": {"train": {"zoom": 1}}}}, "cells.rnn.train.zoom"),
        ("", {"seeds": [-1]}, "seeds.0"),
        ("Train", {"epochs": 1.5}, "epochs"),
        ("Train", {"schedule": "cosin"}, "schedule"),
        ("Train", {"beta_1": 1}, "beta_1"),
        ("Cell", {"type": "mgu"}, "type"),
        ("Data", {"files": {"train_images": {"bytes": "many"}}}, "files.train_images.bytes"),
    ],
    ids=str,
)
def test_a_mistake_is_reported_with_its_path(section: str, values: dict[str, Any], message: str) -> None:
    (error,) = checker(ROOT, section and f"#/$defs/{section}").iter_errors(values)
    assert message in (".".join(map(str, error.absolute_path)) or error.message)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"train": {"epochs": 3}},
        {"cells": {"rnn": {"train": {"learning_rate": "${train.learning_rate}"}}}},
        {"cell": {"units": 3}, "seed": "${train.epochs}"},
        {"defaults": ["base"], "hydra": {"sweeper": {"n_trials": 3}}},
        {"workers": "auto"},
    ],
    ids=str,
)
def test_a_part_of_a_configuration_is_valid(values: dict[str, Any]) -> None:
    checker(ROOT).validate(values)


def test_a_project_with_one_model_has_no_names_of_models(flat: Project) -> None:
    found = schema()
    assert found["properties"].keys() == {*flat.config_model().model_fields, "defaults", "hydra"}


@pytest.mark.usefixtures("flat")
def test_the_command_writes_the_same_bytes_each_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / CONF).mkdir()
    write_schema()
    first = (tmp_path / SCHEMA).read_bytes()
    write_schema()
    assert (tmp_path / SCHEMA).read_bytes() == first
    assert json.loads(first)["properties"]["train"]
    assert capsys.readouterr().out == "conf/.schema.json: written\n" * 2
