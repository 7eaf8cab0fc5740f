"""A project whose pipeline trains one model, in the section of the group itself."""

from accord.project import Project
from accord.settings import Section, Tracking


class Data(Section):
    """Settings of the data."""

    points: int


class Model(Section):
    """An option of the group `model`."""

    type: str
    rate: float
    units: int = 4


class Train(Section):
    """Settings of the training."""

    epochs: int


class Config(Section):
    """The whole configuration."""

    data: Data
    model: Model
    train: Train
    seed: int
    tracking: Tracking | None = None


PROJECT = Project(
    name="flat",
    config="tests.accord.flat:Config",
    functions="tests.accord.flat",
    metric="val.accuracy",
    variant="model",
    inputs="data/prepared",
)
