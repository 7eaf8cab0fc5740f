"""The folders of a project: its root, the folder where the command was started, and the paths all projects share."""

import os
from contextvars import ContextVar
from pathlib import Path

CONF = Path("conf")
PARAMS = Path("params.yaml")

_STANDING: ContextVar[Path] = ContextVar("standing", default=Path())  # the working directory before `enter_project`


def project_root() -> Path | None:
    """Return the project's root: the working directory or the nearest folder above it that has a `.dvc` folder.

    If there is none, return the folder that DVC names for its stages in DVC_ROOT, or None.
    """
    here, named = Path.cwd(), os.environ.get("DVC_ROOT")
    roots = (folder for folder in (here, *here.parents) if os.access(folder / ".dvc", os.X_OK))
    return next(roots, Path(named) if named and Path(named).is_dir() else None)


def enter_project() -> None:
    """Make the project's root, if there is one, the working directory; this module's paths are relative to it.

    In a temporary experiment it is the root of the experiment's own tree.
    """
    here, root = Path.cwd(), project_root()
    if root and root != here:
        _STANDING.set(here)
        if code := os.environ.get("PYTHONPATH"):  # keep its relative paths right for child processes
            os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, code.split(os.pathsep)))
        os.chdir(root)


def standing() -> Path:
    """Return the absolute path of the folder where the command was started."""
    return Path.cwd() / _STANDING.get()


def given(path: str | Path) -> Path:
    """Return a path from the command line, relative to the working directory unless it is absolute.

    The user gave it relative to the folder where the command was started.
    """
    path = Path(path)
    return path if path.is_absolute() or standing() == Path.cwd() else Path(os.path.relpath(standing() / path))


def repository() -> Path:
    """Return the repository's root: DVC_ROOT, which DVC sets for stages, else the project's root or working directory.

    Files that must outlive a stage belong there: a temporary experiment's tree is deleted after the experiment.
    """
    return Path(os.environ.get("DVC_ROOT") or project_root() or Path.cwd()).resolve()
