"""Strict pydantic models for every project's configuration, and one-line messages for its errors."""

import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from accord.errors import UserError, one_line
from accord.paths import PARAMS

_Model = TypeVar("_Model", bound=BaseModel)

FILE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"  # has no folder, is not hidden, and can't be read as an option


def within(path: str) -> str:
    """Return a path as it is; refuse one that leads out of the repository or can't be printed.

    Raises:
        PydanticCustomError: The path is refused.
    """
    if not path.isprintable():
        raise PydanticCustomError("path", "it has characters that can't be printed")
    if posixpath.normpath(path).split("/")[0] == "..":
        raise PydanticCustomError("path", "it leads out of the repository, which only an absolute path may")
    return path


def _store_within(uri: str) -> str:
    if urlsplit(uri).password:
        raise PydanticCustomError(
            "secret", "the address has a password, which would go to git: set MLFLOW_TRACKING_PASSWORD or PGPASSWORD"
        )
    scheme, _, rest = uri.partition(":///")
    within(unquote(rest.partition("?")[0]) if scheme.startswith(("sqlite", "file")) else uri)
    return uri


Folder = Annotated[str, Field(min_length=1), AfterValidator(within)]
StoreUri = Annotated[str, Field(min_length=1), AfterValidator(_store_within)]


class Section(BaseModel):
    """A section of a configuration; unknown keys, wrong types, infinity and NaN are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        """Refuse unknown keys with a message that lists the known ones, which pydantic's own message does not."""
        if isinstance(values, dict) and (unknown := [key for key in values if key not in cls.model_fields]):
            raise PydanticCustomError(
                "unknown_key",
                "{unknown}: unknown key; the keys here are {known}",
                {"unknown": ", ".join(map(str, unknown)), "known": ", ".join(cls.model_fields)},
            )
        return values


class Tracking(Section):
    """The section that says where MLflow stores runs; if `uri` is null, in mlflow.db at the repository's root."""

    uri: StoreUri | None
    experiment: Annotated[str, Field(min_length=1)]


def impossible(key: str, value: Any, allowed: str) -> PydanticCustomError:
    """Return the error for an impossible value of a key; `allowed` describes the possible values."""
    context = {"key": key, "value": str(value), "allowed": allowed}
    return PydanticCustomError("impossible", "{key} = {value} is impossible: it must be {allowed}", context)


def describe(error: ValidationError, prefix: str = "") -> str:
    """Describe the first of a validation's errors in one line, with the key, and count the others.

    Args:
        error: Error that pydantic raised.
        prefix: Dotted name of the section that was checked, or "" for the whole configuration.
    """
    first, *others = error.errors(include_url=False)
    path = ".".join(part for part in [prefix, *map(str, first["loc"])] if part and part != "[key]")
    kind, message = first["type"], first["msg"]
    if kind == "missing":
        line = f"{path}: the key is missing"
    elif kind == "secret":  # the value is left out: terminals and logs keep what is printed
        line = f"{path}: {message}"
    elif kind in {"unknown_key", "impossible", "cell_train"}:  # these messages begin with the key, relative to `path`
        line = f"{path}.{message}" if path else message
    else:
        line = f"{path} = {first['input']!r} is impossible: {message[:1].lower()}{message[1:]}"
    return " ".join(line.split()) + (f" (and {len(others)} more)" if others else "")


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the plain values of a YAML file, with interpolations resolved.

    Raises:
        UserError: The file is missing or can't be read as a YAML mapping.
    """
    from omegaconf import OmegaConf

    if not path.exists():
        raise UserError(f"{path} is missing: run `dvc repro`, which composes it from conf/")
    with config_errors(f"{path} can't be read"), self_contained():
        values = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    if not isinstance(values, dict):
        raise UserError(f"{path} can't be read: it must be a mapping of keys to values")
    return {str(key): value for key, value in values.items()}


def load(model: type[_Model]) -> _Model:
    """Load params.yaml and check it against its pydantic model; raise a `UserError` if it is missing or impossible."""
    return validated(model, read_yaml(PARAMS), str(PARAMS))


def load_tracking() -> Tracking:
    """Load and check the section `tracking` of params.yaml; raise a `UserError` if it is missing or impossible."""
    return validate_tracking(read_yaml(PARAMS).get("tracking"), str(PARAMS))


def validate_tracking(values: Any, origin: str) -> Tracking:
    """Check plain values of the section `tracking`, as `validated` does."""
    return validated(Tracking, values, origin, "tracking")


def validated(model: type[_Model], values: Any, origin: str, section: str = "") -> _Model:
    """Check plain values against a pydantic model.

    Args:
        model: Class of the model.
        values: Plain values to check.
        origin: File or folder that the values come from, for the message.
        section: Dotted name of the section that the values belong to, for the message.

    Raises:
        UserError: A value is impossible.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{origin}: {describe(error, section)}") from None


@contextmanager
def self_contained() -> Iterator[None]:
    """Refuse, within the block, interpolations that read the environment or that change from run to run.

    Git and MLflow would keep a secret from the environment. Interpolations of time or version are not reproducible.
    """
    from omegaconf import OmegaConf
    from omegaconf.resolvers import oc

    hydras = list(filter(OmegaConf.has_resolver, ("hydra", "now", "python_version")))
    for name in ["oc.env", *hydras]:
        OmegaConf.register_new_resolver(name, partial(_refuse, name), replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
        if hydras:
            from hydra.core.utils import setup_globals

            setup_globals()


def _refuse(resolver: str, *arguments: Any) -> NoReturn:
    if resolver == "oc.env":
        raise ValueError(
            f"the environment's {arguments[0]} can't be part of the configuration, which git and MLflow keep: write the"
            " value down, or leave it out and set MLFLOW_TRACKING_URI if it is the store's address"
        )
    called = f"{resolver}:{','.join(map(str, arguments))}"
    raise ValueError(f"${{{called}}} gives another value on each run or machine: write the value down")


@contextmanager
def config_errors(origin: str) -> Iterator[None]:
    """Turn any exception of Hydra, OmegaConf or PyYAML into a `UserError` of one line that begins with `origin`."""
    try:
        yield
    except Exception as error:  # on invalid files these libraries raise many types
        raise UserError(f"{origin}: {in_one_line(error)}") from None


def in_one_line(error: Exception) -> str:
    """Return the message of OmegaConf, Hydra or PyYAML as one line, in the form `key: message` if it names a key."""
    text = one_line(error)
    found = re.fullmatch(r"(?:\w+ raised while resolving interpolation: )?(.*?)(?: full_key: (\S+) .*)?", text)
    message, key = found.groups() if found else (text, None)
    return f"{key}: {message}" if key else message


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Join nested keys with dots: {"a": {"b": 1}} becomes {"a.b": 1}. Lists and empty mappings stay values."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
