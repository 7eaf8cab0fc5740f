"""The stages of dvc.yaml, as far as other tools must agree with them."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from posixpath import join, normpath
from typing import Any, cast

from accord.errors import UserError

_FILE = Path("dvc.yaml")


def check_matrix(variant: str, configured: Iterable[str]) -> None:
    """Refuse, with a `UserError`, variants that a stage's matrix lacks or has besides.

    Otherwise a stage would fail on a missing file after all training.
    """
    for stage in _stages().values():
        trained = (stage.get("matrix") or {}).get(variant)
        if isinstance(trained, list) and sorted(map(str, trained)) != sorted(configured):
            ours, theirs = ", ".join(configured), ", ".join(map(str, trained))
            raise UserError(f"conf/config.yaml has the {variant}s {ours}, dvc.yaml trains {theirs}: make them equal")


def maker(folder: str) -> tuple[str, set[str]]:
    """Return the stage that makes a folder, and the sections of params.yaml that it and the stages before it read.

    Of a folder that no stage makes the name is empty.
    """
    stages = _stages()
    makers = {path: name for name, stage in stages.items() for path in _paths(stage, "outs")}

    def made_by(path: str) -> str:
        places = [path, *map(str, PurePosixPath(path).parents)]  # a dep may be a part of an output
        return next((makers[place] for place in places if place in makers), "")

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
    """Return the stages as they are written, those of a `foreach` by what they do."""
    from omegaconf import OmegaConf

    if not _FILE.exists():
        return {}
    content = cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.load(_FILE)))  # DVC has read it: it is whole
    return {name: stage.get("do", stage) for name, stage in (content.get("stages") or {}).items()}


def _paths(stage: Mapping[str, Any], kind: str) -> list[str]:
    """Return the paths of a stage's `deps` or `outs`, which may have options, from the folder of dvc.yaml."""
    names = [one if isinstance(one, str) else str(next(iter(one))) for one in stage.get(kind) or ()]
    return [normpath(join(stage.get("wdir") or "", name)) for name in names]
