"""Schema of the configuration: keys, types and ranges. The values are in conf/."""

from typing import Annotated, Literal

from pydantic import Field

from accord.settings import Section, Tracking

Count = Annotated[int, Field(ge=1)]


class Data(Section):
    """Number of images for validation and for the test, and the seed of the random split."""

    seed: Annotated[int, Field(ge=0)]
    validation: Annotated[int, Field(ge=10, le=800)]  # of 1,797 images
    test: Annotated[int, Field(ge=10, le=800)]


class Model(Section):
    """A classifier: logistic regression (`sgd`) or one hidden layer (`mlp`); `alpha` is the L2 penalty."""

    type: Literal["sgd", "mlp"]
    learning_rate: Annotated[float, Field(gt=0)]
    alpha: Annotated[float, Field(ge=0)]


class Train(Section):
    """Training settings that all models share."""

    epochs: Count
    batch_size: Count


class Config(Section):
    """The whole configuration, as params.yaml holds it."""

    data: Data
    models: Annotated[dict[str, Model], Field(min_length=1)]
    train: Train
    tracking: Tracking
    seed: Annotated[int, Field(ge=0, lt=2**32)]
