"""Trained models in MLflow's registry: a version for each, and the alias `champion` on the best of them."""

from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from seqmnist.config import Config
from seqmnist.tracking.runs import whole_transactions
from seqmnist.tracking.store import open_store

CHAMPION = "champion"
ACCURACY = "selected.val.accuracy"
_DESCRIPTION = """\
Models of the digits in {data}: images uint8 [n, 28, 28] in, probabilities of the ten classes out.

Every evaluation makes a version of each model that it measured, once. The alias `champion` moves to a version whose
validation accuracy on the same images is higher; its tag `champion.because` says against what. Test figures choose
nothing.
`make serve` answers with it.
"""


def registered_name(data: str) -> str:
    """The registered model of a data set."""
    return f"seqmnist-{data}"


@whole_transactions()
def register(config: Config, run_ids: list[str], validation_sha256: str) -> str:
    """Make a version of the model of each training, once, and let `champion` move to the best if it is better.

    Args:
        config: the pipeline's.
        run_ids: of finished trainings.
        validation_sha256: the digest of the images by which they were selected.

    Returns:
        A line that says which version is champion, and why.

    Raises:
        UserError: the store can't be used.
    """
    client, _ = open_store(config.tracking)
    name = registered_name(config.data.name)
    _create(client, name, config.data.name)
    versions = [_version(client, name, client.get_run(run_id), validation_sha256) for run_id in run_ids]
    best = max(versions, key=lambda one: (_accuracy(one), -int(one.version)))
    decision = _decide(find_champion(client, name), best)
    if decision.moves:
        client.set_model_version_tag(name, best.version, f"{CHAMPION}.because", decision.because)
        client.set_registered_model_alias(name, CHAMPION, best.version)
    return f"{CHAMPION} of {name}: {decision.because}"


@dataclass(frozen=True)
class _Decision:
    moves: bool
    because: str


def _decide(champion: ModelVersion | None, best: ModelVersion) -> _Decision:
    if champion is None:
        return _Decision(True, f"{described(best)}, the first")
    if champion.version == best.version:
        return _Decision(False, f"{described(champion)}")
    if champion.tags["validation.sha256"] != best.tags["validation.sha256"]:
        return _Decision(False, f"{described(champion)} stays: {described(best)} was selected by other images")
    if _accuracy(best) > _accuracy(champion):
        return _Decision(True, f"{described(best)}, above {described(champion)}")
    return _Decision(False, f"{described(champion)} stays: {described(best)} is not above it")


def described(version: ModelVersion) -> str:
    """A version in words."""
    tags = version.tags
    trained = f"{tags['cell']} seed={tags['seed']}"
    return f"version {version.version} ({trained}, validation accuracy {_accuracy(version):.4f})"


def _accuracy(version: ModelVersion) -> float:
    return float(version.tags[ACCURACY])


def _create(client: MlflowClient, name: str, data: str) -> None:
    try:
        client.create_registered_model(name, description=_DESCRIPTION.format(data=data))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def find_champion(client: MlflowClient, name: str) -> ModelVersion | None:
    """The champion of a registered model; None where there is none, or no such model."""
    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None


def _version(client: MlflowClient, name: str, run: Run, validation_sha256: str) -> ModelVersion:
    """The version with the run's weights; a new one where there is none."""
    weights = run.data.tags["model.sha256"]
    if known := client.search_model_versions(f"name = '{name}' and tags.`model.sha256` = '{weights}'"):
        return known[0]
    tags = {key: run.data.tags[key] for key in ("cell", "model.sha256", "train.sha256", "data.sha256", "config.sha256")}
    tags |= {key: str(value) for key, value in run.data.metrics.items() if key.startswith("selected.")}
    tags |= {"seed": run.data.params["seed"], "validation.sha256": validation_sha256}
    models = [one.model_id for one in run.outputs.model_outputs]
    model = next(one for one in models if client.get_logged_model(one).status == "READY")  # others were interrupted
    return client.create_model_version(
        name, source=f"models:/{model}", run_id=run.info.run_id, tags=tags, model_id=model
    )
