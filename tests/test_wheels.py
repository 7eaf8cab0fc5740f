"""`make wheels` packs what is in the tree, and accord's wheel does without the libraries of this experiment."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import Requirement

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PACKED = (".py", ".html", ".j2", ".typed")
# A project of its own, whose run is in a local store.
PROJECT = """\
from accord.project import Project

PROJECT = Project(
    name="toy", description="A toy.", check="toy:check", functions="toy", metric="val.accuracy", reported=(),
    variant="model", keys=("model",), inputs="data", inputs_stage="prepare", inputs_section="data",
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
    import_module(module)
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


def copied(root: Path) -> Path:
    """Copy what wheels are built of into a folder."""
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    for name in ("Makefile", "pyproject.toml", "README.md"):
        shutil.copy2(ROOT / name, root)
    return root


def environment(*unwanted: str) -> dict[str, str]:
    """Return the variables of this process, without those whose names begin so."""
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def wheels(root: Path) -> dict[str, Path]:
    """Build the wheels in a copy, with the packages of this environment; return their paths by package."""
    with_python = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["make", "--silent", "--old-file=.venv/.ready", "wheels"]
    subprocess.run(command, cwd=root, env=environment("PYTHON", "MAKE") | with_python, check=True)
    return {path.name.partition("-")[0]: path for path in (root / "dist").iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = copied(tmp_path_factory.mktemp("built"))
    before = {path for path in root.rglob("*") if path.name != "dist"}
    found = wheels(root)
    assert {path for path in root.rglob("*") if path.suffix != ".whl" and path.name != "dist"} == before
    return found


def names(wheel: Path) -> set[str]:
    """Return the files of a wheel, without those that describe it."""
    return {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.mark.parametrize("package", ["accord", "seqmnist"])
def test_a_wheel_has_each_file_of_its_package(built: dict[str, Path], package: str) -> None:
    files = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / package).rglob("*.*")}
    expected = {name for name in files if name.endswith(PACKED) and "/build/" not in name}
    assert f"{package}/py.typed" in expected
    assert names(built[package]) == expected


def metadata(wheel: Path) -> RawMetadata:
    name = f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info/METADATA"
    with ZipFile(wheel) as opened:
        known, unknown = parse_email(opened.read(name))
    assert not unknown
    return known


@pytest.mark.parametrize(("package", "readme"), [("accord", "src/accord/README.md"), ("seqmnist", "README.md")])
def test_the_page_of_a_wheel_is_its_readme(built: dict[str, Path], package: str, readme: str) -> None:
    known = metadata(built[package])
    assert known["description_content_type"] == "text/markdown"
    assert known["description"].strip() == (ROOT / readme).read_text().strip()


def test_a_wheel_offers_the_extras_of_its_package(built: dict[str, Path]) -> None:
    assert set(metadata(built["accord"])["provides_extra"]) == {"ray", "remotes", "search", "server", "slurm"}
    assert set(metadata(built["seqmnist"])["provides_extra"]) == {"bench", "cluster", "dev", "dev-cluster"}


def test_wheels_depend_on_nothing_but_the_present_files(built: dict[str, Path], tmp_path: Path) -> None:
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


def test_what_an_earlier_build_left_is_in_no_wheel(built: dict[str, Path], tmp_path: Path) -> None:
    again = copied(tmp_path)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", "elsewhere"]
    (again / "src/accord/former.py").touch()
    subprocess.run([*pip, "src/accord"], cwd=again, check=True)
    (again / "src/accord/former.py").unlink()
    assert (again / "src/accord/build/lib/accord/former.py").exists()
    assert wheels(again)["accord"].read_bytes() == built["accord"].read_bytes()


def needed(requirements: list[str]) -> Iterator[Distribution]:
    """Yield the installed distributions that requirements lead to."""
    wanted, seen = [Requirement(one) for one in requirements], set[str]()
    while wanted:
        requirement = wanted.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        found = distribution(requirement.name)
        yield found
        extras = ("", *requirement.extras)
        wanted += [
            one
            for one in map(Requirement, found.requires or [])
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras)
        ]


def install(found: Distribution, site_packages: Path) -> None:
    """Give another environment the files of a distribution, as links where it is on the same file system."""
    for name in found.files or []:
        path, copy = Path(str(found.locate_file(name))), site_packages / name
        if ".." not in name.parts and path.is_file() and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                copy.hardlink_to(path)
            except OSError:
                shutil.copy2(path, copy)


def test_accord_installs_and_tracks_a_run_without_the_libraries_of_this_experiment(
    built: dict[str, Path], tmp_path: Path
) -> None:
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site_packages,) = tmp_path.glob("venv/lib/python*/site-packages")
    for found in needed([one for one in metadata(built["accord"])["requires_dist"] if "extra ==" not in one]):
        install(found, site_packages)
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
