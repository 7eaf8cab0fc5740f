"""The typed schema of the configuration: what keys there are, of what type, in what range.

Values live in conf/ (edited by people), are composed into params.yaml (read by the stages) and validated
here by both. Nothing heavy is imported.
"""

import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from seqmnist.errors import UserError
from seqmnist.paths import PARAMS

Positive = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
DecayRate = Annotated[float, Field(ge=0, lt=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
FILE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"  # of no folder, no option, not hidden
FileName = Annotated[str, Field(pattern=FILE_NAME, max_length=100)]
SplitName = Literal["train", "validation", "test"]
View = Literal["rows", "columns", "pixels", "permuted_pixels"]


def _within(path: str) -> str:
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
    _within(unquote(rest.partition("?")[0]) if scheme.startswith(("sqlite", "file")) else uri)
    return uri


def _member(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise PydanticCustomError("path", "it must be a path within the wheel")
    return path


Folder = Annotated[str, Field(min_length=1), AfterValidator(_within)]
StoreUri = Annotated[str, Field(min_length=1), AfterValidator(_store_within)]
Member = Annotated[str, Field(min_length=1), AfterValidator(_within), AfterValidator(_member)]

_TYPES = "seqmnist/cells/types"
_TYPE_FILES = Path(__file__).parents[1].glob(f"{_TYPES}/[!_]*.py")
CELL_TYPES = sorted(file.stem for file in _TYPE_FILES if file.stem.isidentifier())  # no copies and links of editors


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        """Say which keys are known, which pydantic's own message does not."""
        if isinstance(values, dict) and (unknown := [key for key in values if key not in cls.model_fields]):
            raise PydanticCustomError(
                "unknown_key",
                "{unknown}: unknown key; the keys here are {known}",
                {"unknown": ", ".join(map(str, unknown)), "known": ", ".join(cls.model_fields)},
            )
        return values


class RawFile(_Section):
    """One raw IDX file: its name, its size and the SHA-256 of its bytes when decompressed."""

    name: FileName
    bytes: Positive
    sha256: Sha256


class RawFiles(_Section):
    """The four files of a data set in MNIST's format."""

    train_images: RawFile
    train_labels: RawFile
    test_images: RawFile
    test_labels: RawFile

    def all(self) -> list[RawFile]:
        """The four files, training images first."""
        return [self.train_images, self.train_labels, self.test_images, self.test_labels]

    @model_validator(mode="after")
    def _have_different_names(self) -> "RawFiles":
        names = [file.name for file in self.all()]
        if len(set(names)) < len(names):
            raise _impossible("name", names, "another one for each of the four files")
        return self


class Counts(_Section):
    """Images in the training files and in the test files."""

    train: Positive
    test: Positive


class Pypi(_Section):
    """A wheel whose `member` is a gzip-compressed pickle of ((images, labels), ...) in NumPy arrays."""

    package: FileName
    version: FileName
    wheel_sha256: Sha256
    member: Member
    member_sha256: Sha256


class Data(_Section):
    """A data set: what its bytes are, where they may come from, how many images are for validation."""

    name: FileName
    validation: Positive
    counts: Counts
    files: RawFiles
    sources: Annotated[list[Literal["directory", "https", "pypi"]], Field(min_length=1)]
    directory: Folder | None
    https: list[Annotated[str, Field(pattern=r"^https?://\S+$")]]
    pypi: Pypi | None

    @model_validator(mode="after")
    def _leave_training_images(self) -> "Data":
        if self.validation >= self.counts.train:
            raise _impossible("validation", self.validation, f"1 to {self.counts.train - 1}, to leave training images")
        return self


class Sequence(_Section):
    """How a 28 x 28 image is read as a sequence."""

    view: View


class Train(_Section):
    """The recipe: how a cell is trained. Defaults live in conf/train, not here."""

    epochs: Positive
    batch_size: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    schedule: Literal["constant", "cosine"]
    clip_norm: Annotated[float, Field(gt=0)] | None
    label_smoothing: Probability
    averaging: DecayRate
    shift: Annotated[float, Field(ge=0, le=28)]
    rotation: Annotated[float, Field(ge=0, le=180)]
    zoom: Annotated[float, Field(ge=0, lt=1)]
    shear: Annotated[float, Field(ge=0, lt=90)]
    beta_1: DecayRate
    beta_2: DecayRate
    epsilon: Annotated[float, Field(gt=0)]

    @property
    def moves_images(self) -> bool:
        """Whether training images are moved at all."""
        return any((self.shift, self.rotation, self.zoom, self.shear))


class Cell(_Section):
    """A recurrent cell; `train` replaces single values of the shared recipe for this cell alone."""

    type: str
    units: Positive
    shards: Positive
    train: dict[str, Any]

    @model_validator(mode="after")
    def _have_a_type(self) -> "Cell":
        if self.type not in CELL_TYPES:
            raise _impossible("type", self.type, f"one of {', '.join(CELL_TYPES)}, the files in {_TYPES}")
        return self


class Tracking(_Section):
    """Where MLflow keeps runs; `uri` null means mlflow.db at the repository's root."""

    uri: StoreUri | None
    experiment: Annotated[str, Field(min_length=1)]


class Config(_Section):
    """The pipeline's whole configuration, as params.yaml holds it."""

    data: Data
    sequence: Sequence
    cells: Annotated[dict[FileName, Cell], Field(min_length=1)]
    train: Train
    tracking: Tracking
    # The exact tests go through all 2^n choices of signs.
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _check_together(self) -> "Config":
        if len(set(self.seeds)) < len(self.seeds):
            raise _impossible("seeds", self.seeds, "different numbers")
        if "claims" in self.cells:
            raise _impossible("cells", "claims", "another name: that one stands in reports/metrics.json already")
        training_images = self.data.counts.train - self.data.validation
        for name, cell in self.cells.items():
            recipe = self.train_of(name)
            if recipe.batch_size > training_images:
                key = f"cells.{name}.train.batch_size" if "batch_size" in cell.train else "train.batch_size"
                raise _impossible(key, recipe.batch_size, f"1 to {training_images}, the training images")
            if cell.shards > recipe.batch_size:
                allowed = f"1 to {recipe.batch_size}, the batch size"
                raise _impossible(f"cells.{name}.shards", cell.shards, allowed)
        return self

    def train_of(self, cell: str) -> Train:
        """The recipe of one cell: the shared `train` with the values of `cells.<cell>.train` put in.

        Raises:
            PydanticCustomError: the cell's own `train` has an unknown key or an impossible value.
        """
        merged = self.train.model_dump() | self.cells[cell].train
        try:
            return Train.model_validate(merged)
        except ValidationError as error:
            line = describe(error, f"cells.{cell}.train")
            raise PydanticCustomError("cell_train", "{line}", {"line": line}) from None


def _impossible(key: str, value: Any, allowed: str) -> PydanticCustomError:
    context = {"key": key, "value": str(value), "allowed": allowed}
    return PydanticCustomError("impossible", "{key} = {value} is impossible: it must be {allowed}", context)


def validate(values: dict[str, Any], origin: str) -> Config:
    """Check plain values against the schema.

    Args:
        values: nested dictionaries, as YAML gives them.
        origin: where the values come from, for the message.

    Raises:
        UserError: one line that names the first bad key, its value and what is allowed.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{origin}: {describe(error)}") from None


def describe(error: ValidationError, prefix: str = "") -> str:
    """The first of the errors as `key = value: what is allowed`, with a count of the others."""
    first, *others = error.errors(include_url=False)
    path = ".".join(part for part in [prefix, *map(str, first["loc"])] if part and part != "[key]")
    match first["type"]:
        case "missing":
            line = f"{path}: the key is missing"
        case "secret":  # terminals and logs keep what is printed
            line = f"{path}: {first['msg']}"
        case "unknown_key" | "impossible" | "cell_train":  # these name the key themselves, below `path`
            line = f"{path}.{first['msg']}" if path else first["msg"]
        case _:
            line = f"{path} = {first['input']!r} is impossible: {_lower_first(first['msg'])}"
    line = " ".join(line.split())
    return line if not others else f"{line} (and {len(others)} more)"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def load(path: Path = PARAMS) -> Config:
    """Read and check a composed configuration.

    Raises:
        UserError: the file is missing, no YAML, or not a valid configuration.
    """
    return validate(read_yaml(path), str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """The plain values of a YAML file, with interpolations resolved.

    Raises:
        UserError: the file is missing or can't be read as a YAML mapping.
    """
    from omegaconf import OmegaConf

    try:
        with self_contained():
            values = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro`, which composes it from conf/") from None
    except Exception as error:  # whatever a broken file makes OmegaConf or PyYAML raise
        raise UserError(f"{path} can't be read: {in_one_line(error)}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} can't be read: it must be a mapping of keys to values")
    return {str(key): value for key, value in values.items()}


@contextmanager
def self_contained() -> Iterator[None]:
    """Refuse interpolations that read the environment, which may have secrets, or that give other values each time."""
    from omegaconf import OmegaConf
    from omegaconf.resolvers import oc

    hydras = [name for name in ("hydra", "now", "python_version") if OmegaConf.has_resolver(name)]
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
    interpolation = f"${{{resolver}:{','.join(map(str, arguments))}}}"
    raise ValueError(f"{interpolation} gives another value on each run or machine: write the value down")


def in_one_line(error: Exception) -> str:
    """Return what OmegaConf, Hydra or PyYAML say, as `key: message` where they name a key."""
    text = " ".join(str(error).split())
    found = re.fullmatch(r"(?:\w+ raised while resolving interpolation: )?(.*?)(?: full_key: (\S+) .*)?", text)
    message, key = found.groups() if found else (text, None)
    return f"{key}: {message}" if key else message


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots: {"a": {"b": 1}} becomes {"a.b": 1}. Lists stay values."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat
