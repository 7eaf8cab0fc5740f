"""`make wheels` packs the files of the tree, and accord's wheel works without the libraries of seqmnist."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.wheels import ROOT, copied, environment, environment_for, metadata, wheels

pytestmark = pytest.mark.slow

PACKED = (".py", ".html", ".j2", ".typed")
# A small project on accord that logs a run to a local store.
PROJECT = """\
from accord.project import Project

PROJECT = Project(
    name="toy", config="toy:Config", functions="toy", metric="val.accuracy", variant="model", inputs="data"
)
"""
PARAMS = "{tracking: {uri: null, experiment: toy}, units: 4}\n"
TRAIN = """\
import pkgutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import accord

assert "site-packages" in accord.__file__, accord.__file__
modules = [one.name for one in pkgutil.walk_packages(accord.__path__, "accord.")]
for module in modules:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        assert error.name == "optuna" and module.startswith("accord.sweep.search."), (module, error)
assert not list(filter(find_spec, ("keras", "tensorflow", "sklearn", "seqmnist")))

from accord.settings import load_tracking, read_yaml
from accord.tracking.runs import RunRequest, stage_run

with stage_run(load_tracking(), RunRequest("train", "train@toy")) as run:
    run.params(read_yaml(Path("params.yaml")))
    run.metrics({"val.accuracy": 0.5}, step=1)
    run.dataset("toy", "0" * 64, Path("data"), {"rows": 3}, "train")

import mlflow

found = mlflow.get_run(run.id)
assert (found.info.status, found.data.params["units"], found.data.metrics) == ("FINISHED", "4", {"val.accuracy": 0.5})
print(len(modules), "modules")
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = copied(tmp_path_factory.mktemp("built"))
    before = {path for path in root.rglob("*") if path.name != "dist"}
    found = wheels(root)
    assert {path for path in root.rglob("*") if path.suffix != ".whl" and path.name != "dist"} == before
    return found


def names(wheel: Path) -> set[str]:
    """Return the names of a wheel's files, without its metadata."""
    return {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.mark.parametrize("package", ["accord", "seqmnist"])
def test_a_wheel_has_exactly_the_files_of_its_package(built: dict[str, Path], package: str) -> None:
    files = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / package).rglob("*.*")}
    expected = {name for name in files if name.endswith(PACKED) and "/build/" not in name}
    assert f"{package}/py.typed" in expected
    assert names(built[package]) == expected


@pytest.mark.parametrize(("package", "readme"), [("accord", "src/accord/README.md"), ("seqmnist", "README.md")])
def test_a_wheels_description_is_its_readme(built: dict[str, Path], package: str, readme: str) -> None:
    known = metadata(built[package])
    assert known["description_content_type"] == "text/markdown"
    assert known["description"].strip() == (ROOT / readme).read_text().strip()


@pytest.mark.parametrize("package", ["accord", "seqmnist"])
def test_a_wheel_has_its_licence_and_author(built: dict[str, Path], package: str) -> None:
    known = metadata(built[package])
    assert known["license_expression"] == "Apache-2.0"
    assert known["author"] == "The seqmnist contributors"
    with ZipFile(built[package]) as opened:
        (name,) = [one for one in opened.namelist() if one.endswith("/LICENSE")]
        assert opened.read(name) == (ROOT / "LICENSE").read_bytes()


def test_a_wheel_offers_the_extras_of_its_package(built: dict[str, Path]) -> None:
    assert set(metadata(built["accord"])["provides_extra"]) == {"ray", "remotes", "search", "server", "slurm"}
    assert set(metadata(built["seqmnist"])["provides_extra"]) == {"bench", "cluster", "dev", "dev-cluster"}


def test_wheels_from_the_same_files_have_the_same_bytes(built: dict[str, Path], tmp_path: Path) -> None:
    again = copied(tmp_path)
    former = [again / "src" / package / "former.py" for package in built]
    for path in former:
        path.touch()
    assert all(f"{package}/former.py" in names(wheel) for package, wheel in wheels(again).items())
    for path in former:
        path.unlink()
    for path in again.rglob("*.py"):
        path.chmod(0o660)
        os.utime(path, (1e9, 1e9))
    assert {package: wheel.read_bytes() for package, wheel in wheels(again).items()} == {
        package: wheel.read_bytes() for package, wheel in built.items()
    }


def test_files_of_an_earlier_build_are_in_no_wheel(built: dict[str, Path], tmp_path: Path) -> None:
    again = copied(tmp_path)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", "elsewhere"]
    (again / "src/accord/former.py").touch()
    subprocess.run([*pip, "src/accord"], cwd=again, check=True)
    (again / "src/accord/former.py").unlink()
    assert (again / "src/accord/build/lib/accord/former.py").exists()
    assert wheels(again)["accord"].read_bytes() == built["accord"].read_bytes()


def test_accord_installs_and_logs_a_run_without_the_libraries_of_seqmnist(
    built: dict[str, Path], tmp_path: Path
) -> None:
    python = environment_for(built["accord"], tmp_path / "venv")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    subprocess.run([*pip, "install", "-qq", "--no-index", "--no-deps", str(built["accord"])], check=True)
    subprocess.run([*pip, "check"], check=True)

    project = tmp_path / "project"
    (project / ".dvc").mkdir(parents=True)
    (project / "pyproject.toml").write_text('[tool.accord]\nproject = "toy:PROJECT"\n')
    (project / "toy.py").write_text(PROJECT)
    (project / "params.yaml").write_text(PARAMS)
    (project / "train.py").write_text(TRAIN)
    own = environment("PYTHON", "MLFLOW", "DVC", "ACCORD")
    done = subprocess.run([python, "train.py"], cwd=project, env=own, stdout=subprocess.PIPE, text=True, check=True)
    assert int(done.stdout.split()[0]) > 40
