"""Checks of dependencies: deps of stages in dvc.yaml, imports between modules, requirements and lock files."""

import ast
import importlib.metadata
import itertools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from seqmnist.training.setup import CODE

ROOT = Path(__file__).parents[1]
TYPES = Path("src/seqmnist/cells/types")
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# Modules that change no output: terminal messages, logging to MLflow and git, errors and signals, checkpoints, and the
# number of parallel trainings.
EXEMPT = [
    "accord.checkpoints",
    "accord.cores",
    "accord.errors",
    "accord.experiments",
    "accord.git",
    "accord.process",
    "accord.project",
    "accord.tracking",
    "seqmnist.bars",
    "seqmnist.runs",
    "seqmnist.training.side_by_side",
    "seqmnist.training.terminal",
]
PACKAGES = ("accord", "seqmnist")
DISTRIBUTIONS = {
    "seqmnist": ROOT / "pyproject.toml",
    "accord": ROOT / "src/accord/pyproject.toml",
    "digits": ROOT / "examples/digits/pyproject.toml",
}


def imported_files(stage: str) -> set[Path]:
    """Return the files of all modules that a stage imports, directly or not, without those reached only by EXEMPT."""
    module = "accord.compose" if stage == "compose" else STAGES[stage]["cmd"].split()[3]
    graph = grimp.build_graph(*PACKAGES, include_external_packages=False)
    for name in [name for name in graph.modules if any(f"{name}.".startswith(f"{one}.") for one in EXEMPT)]:
        graph.remove_module(name)
    modules = {module, *graph.find_upstream_modules(module)}
    if stage == "compose":  # which imports the schema by its name in the project's description
        modules |= {"seqmnist.config", *graph.find_upstream_modules("seqmnist.config")}
    files = {Path("src", *name.split(".")) for name in modules}
    return {file.with_suffix(".py") for file in files if not (ROOT / file).is_dir()}


def code(stage: str) -> list[Path]:
    """Return the deps of a stage that are code."""
    return [Path(dep) for dep in STAGES[stage]["deps"] if dep.startswith("src/")]


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_every_imported_module(stage: str) -> None:
    files = imported_files(stage)
    assert Path("src/seqmnist/config.py") in files, "the import graph lacks the real modules"
    uncovered = [str(file) for file in files if not any(file == dep or dep in file.parents for dep in code(stage))]
    assert not uncovered, f"add to the deps of {stage}: {', '.join(sorted(uncovered))}"


@pytest.mark.parametrize("stage", STAGES)
def test_deps_name_only_code_that_the_stage_imports(stage: str) -> None:
    imported = imported_files(stage)
    for dep in code(stage):
        files = [file.relative_to(ROOT) for file in (ROOT / dep).rglob("*.py")] or [dep]
        modules = {file for file in files if file.suffix == ".py" and file.name != "__init__.py"}
        if dep != TYPES:  # the module of a cell is imported by its type's name, which the graph misses
            assert modules <= imported, f"{stage} does not import {modules - imported}"


def test_the_code_in_a_checkpoints_key_is_that_of_the_train_stages_deps() -> None:
    assert [Path("src", name) for name in CODE] == sorted(code("train"))


def test_imports_have_no_cycle() -> None:
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert len(imports) > 90
    TopologicalSorter(imports).prepare()  # raises CycleError


def test_commands_that_train_nothing_import_no_tensorflow() -> None:
    modules = [
        "accord.integrity.check",
        "accord.promote",
        "accord.sweep.app",
        "accord.sync",
        "seqmnist.runs.restore",
        "seqmnist.trials",
    ]
    program = "import importlib, sys\n"
    program += f"for name in {modules}:\n    importlib.import_module(name)\n"
    program += "    assert not {'keras', 'tensorflow'} & set(sys.modules), name\n"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_few_modules_import_the_setup_of_a_training() -> None:
    graph = grimp.build_graph(*PACKAGES)
    assert len(graph.find_modules_that_directly_import("seqmnist.training.setup")) < 10


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_runs_the_code_beside_its_dvc_yaml(stage: str) -> None:
    assert STAGES[stage]["cmd"].startswith(
        ("PYTHONPATH=src python -m seqmnist compose", "PYTHONPATH=src python -m seqmnist.stages.")
    )


def test_init_files_hold_only_a_docstring() -> None:
    """Importing a module runs the `__init__` of its packages, which deps do not name."""
    for path in (ROOT / "src").rglob("__init__.py"):
        if path.parent.name not in {
            "accord",
            "tracking",
        }:  # these refuse Windows and set up MLflow, which changes no output
            body: list[Any] = ast.parse(path.read_text()).body
            assert len(body) == 1, path
            assert isinstance(body[0], ast.Expr), path


def test_dvc_ignores_no_visible_file_in_git_and_no_output() -> None:
    """Hidden files are settings of git and DVC, which .dvcignore may name."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    made = [out if isinstance(out, str) else next(iter(out)) for stage in STAGES.values() for out in stage["outs"]]
    visible = [name for name in tracked.split() if not any(part.startswith(".") for part in name.split("/"))]
    # Left out: examples are projects with a .dvc of their own; no stage depends on notebooks.
    names = [name for name in visible if not name.startswith(("examples/", "notebooks/"))]
    names += [name.replace("${item.cell}", "a_cell.2") for name in made]
    names += ["conf/experiment/my-own.v2.yaml", "conf/experiment/with a space.yaml", "data/raw/train-images-idx3-ubyte"]
    names += [
        "models/a_cell.2/seed-42.weights.h5",
        "reports/figures/a_cell.2.png",
        "src/seqmnist/cells/types/_mine2.py",
    ]
    command = [sys.executable, "-m", "dvc", "check-ignore", "--stdin"]
    found = subprocess.run(command, cwd=ROOT, input="\n".join(names), stdout=subprocess.PIPE, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-cluster.lock", "deploy/requirements.lock"])
def test_lock_file_has_hashes_and_no_addresses(name: str) -> None:
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    pins = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(pins) > 90
    assert lock.count("--hash=sha256:") >= len(pins)
    assert all("==" in pin for pin in pins)


def requirements(name: str, *extras: str) -> Iterator[Requirement]:
    """Yield the external requirements of a distribution, with those of this repository's distributions it requires."""
    project = tomllib.loads(DISTRIBUTIONS[name].read_text())["project"]
    wanted = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    for requirement in map(Requirement, itertools.chain(*wanted)):
        if requirement.name in DISTRIBUTIONS:
            yield from requirements(requirement.name, *requirement.extras)
        else:
            yield requirement


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("requirements.lock", ["dev"]), ("requirements-cluster.lock", ["dev", "dev-cluster", "cluster"])],
)
def test_lock_file_pins_all_requirements_of_all_distributions(lock: str, extras: list[str]) -> None:
    pins: dict[str, list[str]] = {}  # several versions of a package, where versions of Python need different ones
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^ ;]+)", (ROOT / lock).read_text(), re.MULTILINE):
        pins.setdefault(name, []).append(version)
    assert not pins.keys() & DISTRIBUTIONS.keys(), "this repository's packages are installed from its tree"
    wanted = [*requirements("seqmnist", *extras), *requirements("digits")]
    assert {"keras", "dvc", "optuna", "pytest"} <= {one.name for one in wanted}
    for one in wanted:
        assert one.name in pins, f"{one} is not locked"
        assert all(one.specifier.contains(version) for version in pins[one.name]), f"{one} is {pins[one.name]}"


def test_all_distributions_have_the_same_version() -> None:
    versions = {tomllib.loads(path.read_text())["project"]["version"] for path in DISTRIBUTIONS.values()}
    (version,) = versions
    for name, extras in {"seqmnist": "[search]", "digits": ""}.items():
        wanted = tomllib.loads(DISTRIBUTIONS[name].read_text())["project"]["dependencies"]
        assert [one for one in wanted if Requirement(one).name == "accord"] == [f"accord{extras}=={version}"]


def test_accords_pyproject_lists_each_of_its_packages() -> None:
    named = tomllib.loads(DISTRIBUTIONS["accord"].read_text())["tool"]["setuptools"]["packages"]
    src = ROOT / "src"
    assert named == sorted(".".join(path.parent.relative_to(src).parts) for path in src.glob("accord/**/__init__.py"))


def test_docs_list_the_licence_of_every_installed_package_of_the_lock_file() -> None:
    rows = [line.strip("|").split("|") for line in (ROOT / "docs/licences.md").read_text().splitlines()[7:]]
    listed = {canonicalize_name(name.strip()): licence.strip() for name, licence in rows}
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    installed = {canonicalize_name(one.name) for one in importlib.metadata.distributions()}
    assert locked & installed <= listed.keys() <= locked
    assert all(listed.values())
