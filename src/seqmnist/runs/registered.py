"""The registered model that holds a version of every trained model of a data set."""

from seqmnist.config import Config

_DESCRIPTION = """\
Models of {data}: images uint8 [n, 28, 28] in, probabilities of the ten classes out.

Every evaluation makes a version of each model that it measured, once. The alias `champion` moves to a version whose
validation accuracy on the same images is higher; its tag `champion.because` says against what. Test figures choose
nothing.
`make serve` answers with the champion.
"""


def registered_name(data: str) -> str:
    """Return the name of the registered model of a data set."""
    return f"seqmnist-{data}"


def register(configuration: Config, run_ids: list[str], validation_sha256: str) -> str:
    """Register the models of the configuration's trainings; see `seqmnist.tracking.registry.register`."""
    from seqmnist.tracking import registry

    data = configuration.data.name
    name, description = registered_name(data), _DESCRIPTION.format(data=data)
    return registry.register(configuration.tracking, name, description, run_ids, validation_sha256)
