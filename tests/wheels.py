"""Wheels of the packages in this repository, and virtual environments with the dependencies of a wheel."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
_SCRIPT = """\
#!{python}
import sys

from {module} import {function}

sys.exit({function}())
"""


def copied(root: Path) -> Path:
    """Copy the files from which wheels are built into a folder, and return the folder."""
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    for name in ("LICENSE", "Makefile", "pyproject.toml", "README.md"):
        shutil.copy2(ROOT / name, root)
    return root


def environment(*unwanted: str) -> dict[str, str]:
    """Return the environment variables of this process, without those whose names begin with one of `unwanted`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def wheels(root: Path) -> dict[str, Path]:
    """Build the wheels in a folder made by `copied`, with this environment's packages; return paths by package."""
    with_python = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["make", "--silent", "--old-file=setup", "wheels"]
    subprocess.run(command, cwd=root, env=environment("PYTHON", "MAKE") | with_python, check=True)
    return {path.name.partition("-")[0]: path for path in (root / "dist").iterdir()}


def metadata(wheel: Path) -> RawMetadata:
    """Return the metadata of a wheel."""
    name = f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info/METADATA"
    with ZipFile(wheel) as opened:
        known, unknown = parse_email(opened.read(name))
    assert not unknown
    return known


def environment_for(wheel: Path, folder: Path, *further: str) -> Path:
    """Make a virtual environment with a wheel's dependencies; return the path of its Python.

    Its packages are taken from this environment: nothing is downloaded. The wheel itself is not installed.

    Args:
        wheel: Wheel whose dependencies are needed, extras apart.
        folder: Folder of the new environment.
        further: Requirements of further packages.
    """
    python = folder / "bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    needed = [one for one in metadata(wheel)["requires_dist"] if "extra ==" not in one]
    for found in _closure([*needed, *further]):
        _link(found, site_packages)
        for script in found.entry_points.select(group="console_scripts"):
            path = folder / "bin" / script.name
            path.write_text(_SCRIPT.format(python=python, module=script.module, function=script.attr))
            path.chmod(0o755)
    return python


def _closure(requirements: list[str]) -> Iterator[Distribution]:
    """Yield the installed distributions of requirements and of all their dependencies."""
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


def _link(found: Distribution, site_packages: Path) -> None:
    """Copy the files of a distribution to another environment, as hard links if it is on the same file system."""
    for name in found.files or []:
        path, copy = Path(str(found.locate_file(name))), site_packages / name
        if ".." not in name.parts and path.is_file() and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                copy.hardlink_to(path)
            except OSError:
                shutil.copy2(path, copy)
