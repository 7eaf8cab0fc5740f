"""The folders of a project: its root, where the user stands in it, and what every project has below it."""

import os
from contextvars import ContextVar
from pathlib import Path

CONF = Path("conf")
PARAMS = Path("params.yaml")

_STANDING: ContextVar[Path] = ContextVar("standing", default=Path())  # where the user was before `enter_project`


def project_root() -> Path | None:
    """Return the working directory or the nearest folder above it that DVC takes for a root; None if there is none."""
    here, named = Path.cwd(), os.environ.get("DVC_ROOT")
    roots = (folder for folder in (here, *here.parents) if os.access(folder / ".dvc", os.X_OK))
    return next(roots, Path(named) if named and Path(named).is_dir() else None)


def enter_project() -> None:
    """Change to the project's root, if there is one; the paths of this module are relative to it.

    In a temporary experiment that is the root of its own tree.
    """
    here, root = Path.cwd(), project_root()
    if root and root != here:
        _STANDING.set(here)
        if code := os.environ.get("PYTHONPATH"):  # processes that are started from the root need the same
            os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, code.split(os.pathsep)))
        os.chdir(root)


def standing() -> Path:
    """Return the folder from which the command was started."""
    return Path.cwd() / _STANDING.get()


def given(path: str | Path) -> Path:
    """Return a path that the user gave on the command line, relative to the working directory unless it is absolute."""
    path = Path(path)
    return path if path.is_absolute() or standing() == Path.cwd() else Path(os.path.relpath(standing() / path))


def repository() -> Path:
    """Return the repository's root: what DVC names for its stages, else the project's, else the working directory.

    What outlives a stage is kept there; a temporary experiment's working directory is deleted with it.
    """
    return Path(os.environ.get("DVC_ROOT") or project_root() or Path.cwd()).resolve()
