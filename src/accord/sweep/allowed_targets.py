"""Checks of the classes and functions that a configuration makes Hydra call.

Allowed are Hydra's launchers, sweepers, callbacks and log handlers, and accord's own sweeper and callback. Hydra calls
what `_target_` and logging's `()` name right after it composes a configuration, with no hook in between. So
`CheckedLoader` replaces Hydra's loader and checks each composed configuration: the sweep's and again each trial's.
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
_ALLOWED = {  # patterns of allowed names, by the prefix of the key that holds them
    "hydra.launcher.": rf"{_PLUGIN}Launcher",
    "hydra.sweeper.": rf"{_PLUGIN}Sweeper|{re.escape(TARGET)}",
    "hydra.callbacks.": r"accord\.sweep\.sweep_run\.SweepRun|hydra\.experimental\.callbacks\.\w+Callback",
    "hydra.hydra_logging.": _HANDLER,
    "hydra.job_logging.": _HANDLER,
}
_CALLED = {"_target_", "custom_search_space", "()"}  # keys whose value names a class or function that Hydra calls
_STREAMS = {"ext://sys.stdout", "ext://sys.stderr"}
_RAY = {  # allowed settings: addresses and resources; Ray's other settings can install and run code
    "hydra.launcher.ray.init.": re.compile(
        r"(address|num_cpus|num_gpus|resources|labels|object_store_memory|namespace|_temp_dir|_node_ip_address)(\..*)?"
    ),
    "hydra.launcher.ray.remote.": re.compile(
        r"(num_cpus|num_gpus|memory|resources|accelerator_type|max_retries|scheduling_strategy|label_selector)(\..*)?"
    ),
}
_REFUSED = {  # patterns of refused keys, with the reason shown to the user
    r"hydra\.launcher\.(setup|additional_parameters)(\..*)?": (
        "Slurm would run this: run it in the shell before the sweep, since jobs inherit the shell's environment"
    ),
    r"hydra\.job\.env_set\.(PATH|PYTHON.*|LD_.*|DYLD_.*)": "this variable chooses what code runs: set it in the shell",
}


class Refused(BaseException):
    """Refusal to start a sweep. A BaseException, because Hydra turns an Exception of a callback into a warning."""


class CheckedLoader(ConfigLoaderImpl):
    """Hydra's configuration loader with checks. Launchers send it to their worker processes."""

    def load_configuration(self, *arguments: Any, **options: Any) -> DictConfig:
        """Compose a configuration and check it.

        Raises:
            Refused: It can't be composed, names a call that is not allowed, or has a value without effect.
        """
        try:
            config = super().load_configuration(*arguments, **options)
        except CompactHydraException:
            raise
        except Exception as error:  # OmegaConf and PyYAML raise many kinds for a broken file or value
            raise Refused(in_one_line(error)) from None
        if reason := forbidden(config) or ineffective(config):
            raise Refused(reason)
        return config


@contextmanager
def checked() -> Iterator[None]:
    """Make Hydra check each configuration that it composes within this context."""
    application.ConfigLoaderImpl = CheckedLoader  # type: ignore[attr-defined]  # imported there, not exported
    try:
        yield
    finally:
        application.ConfigLoaderImpl = ConfigLoaderImpl  # type: ignore[attr-defined]


def forbidden(config: DictConfig) -> str | None:
    """Return why a composed configuration is not allowed, as a message for its author; None if it is allowed."""
    for key, value in _leaves(config):
        name = key.rpartition(".")[2]
        if name in _CALLED or (name == "class" and "_logging." in key):
            if value is not None and not _is_allowed(key, str(value)):
                instead = f"; a callback is {_CALLBACKS}" if key.startswith("hydra.callbacks.") else ""
                return f"{key} = {value}: a configuration can't make Hydra call this{instead}"
        elif str(value).startswith("ext://") and value not in _STREAMS:
            return f"{key} = {value}: a configuration can use no streams but {' and '.join(sorted(_STREAMS))}"
        elif any(key.startswith(place) and not keys.fullmatch(key[len(place) :]) for place, keys in _RAY.items()):
            return f"{key} = {value}: a configuration can't set this for Ray: it may run code, or the sweep sets it"
        elif key.startswith("hydra.launcher.") and not str(value).isprintable():
            return f"{key} = {value!r}: it has a character that can't be printed, such as the end of a line"
        elif value is not None and (found := [why for keys, why in _REFUSED.items() if re.fullmatch(keys, key)]):
            return f"{key} = {value}: {found[0]}"
    return None


def _is_allowed(key: str, target: str) -> bool:
    return any(key.startswith(place) and re.fullmatch(names, target) for place, names in _ALLOWED.items())


def _leaves(node: DictConfig | ListConfig, prefix: str = "", above: Sequence[int] = ()) -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and their values with interpolations resolved, which may expand to whole sections."""
    parts: Iterable[Any] = node.keys() if isinstance(node, DictConfig) else range(len(node))
    for part in parts:
        key = f"{prefix}{part}"
        try:
            value = node[part]
        except OmegaConfBaseException:  # it can't be resolved, so Hydra can't call it either
            continue
        if not isinstance(value, DictConfig | ListConfig):
            yield key, value
        elif id(value) not in above:  # an interpolation may point to a section that contains it
            yield from _leaves(value, f"{key}.", [*above, id(value)])
