"""Read dvc.yaml: the variants that it trains, and the stage that makes a folder."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from posixpath import join, normpath
from typing import Any, cast

from accord.errors import UserError

_FILE = Path("dvc.yaml")


def check_matrix(variant: str, configured: Iterable[str]) -> None:
    """Check that the configured variants are those of the `matrix` in dvc.yaml.

    Otherwise a stage would fail on a missing file after all training.

    Args:
        variant: Name of the group of variants, which is the matrix's key.
        configured: Names of the variants in conf/.

    Raises:
        UserError: A stage's matrix has other variants.
    """
    for stage in _stages().values():
        trained = (stage.get("matrix") or {}).get(variant)
        if isinstance(trained, list) and sorted(map(str, trained)) != sorted(configured):
            ours, theirs = ", ".join(configured), ", ".join(map(str, trained))
            raise UserError(f"conf/config.yaml has the {variant}s {ours}, dvc.yaml trains {theirs}: make them equal")


def maker(folder: str) -> tuple[str, set[str]]:
    """Return the name of the stage that makes a folder, and the sections of params.yaml that affect the folder.

    These are the sections that the stage and all stages before it read. If no stage makes the folder, the name is
    empty and there are no sections.
    """
    stages = _stages()
    makers = {path: name for name, stage in stages.items() for path in _paths(stage, "outs")}

    def made_by(path: str) -> str:
        candidates = [path, *map(str, PurePosixPath(path).parents)]  # a dep may be a file or folder within an output
        return next((makers[candidate] for candidate in candidates if candidate in makers), "")

    sections: set[str] = set()
    waiting, seen = [made_by(normpath(folder))], {""}
    while waiting:
        if (name := waiting.pop()) in seen:
            continue
        seen.add(name)
        sections |= {one.partition(".")[0] for one in stages[name].get("params") or () if isinstance(one, str)}
        waiting += map(made_by, _paths(stages[name], "deps"))
    return made_by(normpath(folder)), sections


def _stages() -> dict[str, Mapping[str, Any]]:
    """Return the stages of dvc.yaml by name, without expanding them; of a `foreach` stage return its `do` part."""
    from omegaconf import OmegaConf

    if not _FILE.exists():
        return {}
    content = cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.load(_FILE)))  # valid: DVC has read it before
    return {name: stage.get("do", stage) for name, stage in (content.get("stages") or {}).items()}


def _paths(stage: Mapping[str, Any], kind: str) -> list[str]:
    """Return the paths of a stage's `deps` or `outs`, relative to the folder of dvc.yaml and without their options."""
    names = [one if isinstance(one, str) else str(next(iter(one))) for one in stage.get(kind) or ()]
    return [normpath(join(stage.get("wdir") or "", name)) for name in names]
