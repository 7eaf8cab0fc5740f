"""Checks that project files agree: versions, licences, citation, CI workflow, Dockerfiles and dev container."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.projects import ROOT

PACKAGES = (".", "src/accord", "examples/digits")
DOCKERFILES = sorted((ROOT / "deploy").glob("*Dockerfile"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project(package: str) -> Any:
    return tomllib.loads(text(f"{package}/pyproject.toml"))["project"]


def test_all_files_name_the_same_version() -> None:
    (newest, day), *_ = re.findall(r"^## \[(.+)\] - (\S+)$", text("CHANGELOG.md"), re.MULTILINE)
    citation = yaml.safe_load(text("CITATION.cff"))
    assert {project(package)["version"] for package in PACKAGES} == {newest} == {citation["version"]}
    assert str(citation["date-released"]) == day
    pinned = [one for package in PACKAGES for one in project(package)["dependencies"] if one.startswith("accord")]
    assert [one.partition("==")[2] for one in pinned] == [newest, newest]


def test_both_distributions_have_the_same_licence() -> None:
    assert text("src/accord/LICENSE") == text("LICENSE")
    assert {project(package)["license"] for package in PACKAGES[:2]} == {"Apache-2.0"}
    assert yaml.safe_load(text("CITATION.cff"))["license"] == "Apache-2.0"


def test_the_workflow_tests_each_supported_python_and_runs_targets_of_the_makefile() -> None:
    jobs = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"]
    supported = [one.rpartition(" ")[2] for one in project(".")["classifiers"] if ":: 3." in one]
    assert jobs["test"]["strategy"]["matrix"]["python"] == supported
    steps = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    targets = {target for step in steps if step.startswith("make ") for target in step.split()[1:]}
    assert targets == {"lint", "types", "test", "test-all"}
    assert targets <= set(re.findall(r"^([\w-]+):", text("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_is_built_from_existing_files_and_locked_packages(path: Path) -> None:
    lines = path.read_text(encoding="utf-8")
    copied = [source for line in re.findall(r"^COPY (.+)$", lines, re.MULTILINE) for source in line.split()[:-1]]
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert re.findall(r"pip install .*--require-hashes --no-deps -r /tmp/requirements\.lock", lines)
    assert "USER 1000" in lines.splitlines()


def test_the_dev_container_is_built_from_the_image_for_training() -> None:
    container = ROOT / ".devcontainer"
    built = json.loads((container / "devcontainer.json").read_text(encoding="utf-8"))["build"]
    assert (container / built["dockerfile"]).resolve() == ROOT / "deploy/train.Dockerfile"
    assert (container / built["context"]).resolve() == ROOT
