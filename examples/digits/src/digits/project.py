"""The description of this project for accord, which pyproject.toml names."""

from accord.project import Project

PROJECT = Project(
    name="digits",
    description="Two classifiers of handwritten digits: tick the runs `train@sgd` and `train@mlp`, press *Compare*.",
    config="digits.config:Config",
    functions="digits.trials",
    metric="val.accuracy",
    reported=("test.accuracy",),
    variant="model",
    cores=1,
    inputs="data/prepared",
)
