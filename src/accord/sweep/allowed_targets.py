"""Check what a configuration has Hydra call: its launchers, sweepers and our callback alone are allowed.

Hydra calls what `_target_` and logging's `()` name right after it has composed a configuration, with no hook between.
So its loader is replaced by one that checks what it composed, for the sweep and again for each trial.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal import hydra as application
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import OmegaConfBaseException

from accord.settings import in_one_line
from accord.sweep.effect import ineffective
from accord.sweep.search.settings import TARGET

_PLUGIN = r"(?!.*ray_aws)(hydra_plugins|hydra\._internal\.core_plugins)(\.[a-z_]\w*)+\.\w+"
_HANDLER = r"logging(\.handlers)?\.\w*Handler|logging\.Formatter|colorlog\.ColoredFormatter"
_CALLBACKS = "accord.sweep.sweep_run.SweepRun or one of hydra.experimental.callbacks"
_ALLOWED = {  # by the key that it must stand below
    "hydra.launcher.": rf"{_PLUGIN}Launcher",
    "hydra.sweeper.": rf"{_PLUGIN}Sweeper|{re.escape(TARGET)}",
    "hydra.callbacks.": r"accord\.sweep\.sweep_run\.SweepRun|hydra\.experimental\.callbacks\.\w+Callback",
    "hydra.hydra_logging.": _HANDLER,
    "hydra.job_logging.": _HANDLER,
}
_CALLED = {"_target_", "custom_search_space", "()"}  # keys whose values are names of what is called
_STREAMS = {"ext://sys.stdout", "ext://sys.stderr"}
_RAY = {  # where Ray runs a sweep and with how much; it could also have code installed and run
    "hydra.launcher.ray.init.": re.compile(
        r"(address|num_cpus|num_gpus|resources|labels|object_store_memory|namespace|_temp_dir|_node_ip_address)(\..*)?"
    ),
    "hydra.launcher.ray.remote.": re.compile(
        r"(num_cpus|num_gpus|memory|resources|accelerator_type|max_retries|scheduling_strategy|label_selector)(\..*)?"
    ),
}
_REFUSED = {  # keys, and what a user is told of them
    r"hydra\.launcher\.(setup|additional_parameters)(\..*)?": (
        "Slurm would run this: do it in the shell before the sweep, whose environment its jobs get"
    ),
    r"hydra\.job\.env_set\.(PATH|PYTHON.*|LD_.*|DYLD_.*)": "this variable chooses what code runs: set it in the shell",
}


class Refused(BaseException):
    """The sweep can't start. No Exception: Hydra turns those of its callbacks into warnings."""


class CheckedLoader(ConfigLoaderImpl):
    """Hydra's loader, which also refuses what may not be called. Launchers take it along to their processes."""

    def load_configuration(self, *arguments: Any, **options: Any) -> DictConfig:
        """Compose a configuration; refuse one that calls what it may not, or has a value without effect."""
        try:
            config = super().load_configuration(*arguments, **options)
        except CompactHydraException:
            raise
        except Exception as error:  # whatever a broken file or value makes OmegaConf or PyYAML raise
            raise Refused(in_one_line(error)) from None
        if reason := forbidden(config) or ineffective(config):
            raise Refused(reason)
        return config


@contextmanager
def checked() -> Iterator[None]:
    """Have Hydra's application check each configuration that it composes."""
    application.ConfigLoaderImpl = CheckedLoader  # type: ignore[attr-defined]  # imported there, not exported
    try:
        yield
    finally:
        application.ConfigLoaderImpl = ConfigLoaderImpl  # type: ignore[attr-defined]


def forbidden(config: DictConfig) -> str | None:
    """Return what a composed configuration would have called that may not be, for its author; None if nothing."""
    for key, value in _leaves(config):
        name = key.rpartition(".")[2]
        if name in _CALLED or (name == "class" and "_logging." in key):
            if value is not None and not _is_allowed(key, str(value)):
                instead = f"; a callback is {_CALLBACKS}" if key.startswith("hydra.callbacks.") else ""
                return f"{key} = {value}: a configuration can't have this called{instead}"
        elif str(value).startswith("ext://") and value not in _STREAMS:
            return f"{key} = {value}: a configuration can have no other streams than {' and '.join(sorted(_STREAMS))}"
        elif any(key.startswith(place) and not keys.fullmatch(key[len(place) :]) for place, keys in _RAY.items()):
            return f"{key} = {value}: a configuration can't set this of Ray: it may run code, or is the sweep's own"
        elif key.startswith("hydra.launcher.") and not str(value).isprintable():
            return f"{key} = {value!r}: it has characters that can't be printed, as one that ends a line of a script"
        elif value is not None and (found := [why for keys, why in _REFUSED.items() if re.fullmatch(keys, key)]):
            return f"{key} = {value}: {found[0]}"
    return None


def _is_allowed(key: str, target: str) -> bool:
    return any(key.startswith(place) and re.fullmatch(names, target) for place, names in _ALLOWED.items())


def _leaves(node: DictConfig | ListConfig, prefix: str = "", above: Sequence[int] = ()) -> Iterator[tuple[str, Any]]:
    """Yield values by dotted keys, with interpolations resolved: those can make whole parts of a configuration."""
    parts: Iterable[Any] = node.keys() if isinstance(node, DictConfig) else range(len(node))
    for part in parts:
        key = f"{prefix}{part}"
        try:
            value = node[part]
        except OmegaConfBaseException:  # still missing: what calls it would fail the same way
            continue
        if not isinstance(value, DictConfig | ListConfig):
            yield key, value
        elif id(value) not in above:  # an interpolation may lead back to where it stands
            yield from _leaves(value, f"{key}.", [*above, id(value)])
