"""The keys of the configuration, with types and ranges. Values are in conf/."""

from typing import Annotated, Literal

from pydantic import Field

from accord.settings import Section, Tracking

Count = Annotated[int, Field(ge=1)]


class Data(Section):
    """Images for validation and for the test, and the seed of the order in which images are dealt out."""

    seed: Annotated[int, Field(ge=0)]
    validation: Annotated[int, Field(ge=10, le=800)]  # of 1,797
    test: Annotated[int, Field(ge=10, le=800)]


class Model(Section):
    """Logistic regression, or one hidden layer; alpha is the L2 penalty of both."""

    type: Literal["sgd", "mlp"]
    learning_rate: Annotated[float, Field(gt=0)]
    alpha: Annotated[float, Field(ge=0)]


class Train(Section):
    """The recipe that both models share."""

    epochs: Count
    batch_size: Count


class Config(Section):
    """The whole configuration, as params.yaml holds it."""

    data: Data
    models: Annotated[dict[str, Model], Field(min_length=1)]
    train: Train
    tracking: Tracking
    seed: Annotated[int, Field(ge=0, lt=2**32)]
