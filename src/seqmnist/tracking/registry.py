"""Trained models in MLflow's registry: a version for each, and the alias `champion` on the best of them."""

from dataclasses import dataclass

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from seqmnist.config import Config
from seqmnist.tracking.away import telling
from seqmnist.tracking.runs import whole_transactions
from seqmnist.tracking.store import one_at_a_time, open_store

CHAMPION = "champion"
ACCURACY = "selected.val.accuracy"
_BECAUSE = f"{CHAMPION}.because"
_IMAGES = "validation.sha256"
_DESCRIPTION = """\
Models of {data}: images uint8 [n, 28, 28] in, probabilities of the ten classes out.

Every evaluation makes a version of each model that it measured, once. The alias `champion` moves to a version whose
validation accuracy on the same images is higher; its tag `champion.because` says against what. Test figures choose
nothing.
`make serve` answers with the champion.
"""


def registered_name(data: str) -> str:
    """The registered model of a data set."""
    return f"seqmnist-{data}"


def register(config: Config, run_ids: list[str], validation_sha256: str) -> str:
    """Make a version of the model of each training, once, and let `champion` move to the best if it is better.

    A champion that a user put somewhere by hand stays there.

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
    mlflow.set_tracking_uri(client.tracking_uri)  # there MLflow looks for a version's model
    with telling(client.tracking_uri), one_at_a_time(client.tracking_uri), whole_transactions():
        return _register(client, config.data.name, run_ids, validation_sha256)


def _register(client: MlflowClient, data: str, run_ids: list[str], validation_sha256: str) -> str:
    name = registered_name(data)
    _create(client, name, data)
    for run_id in run_ids:
        _add_version(client, name, client.get_run(run_id), validation_sha256)
    same_images = client.search_model_versions(f"name = '{name}' and tags.`{_IMAGES}` = '{validation_sha256}'")
    best = max(same_images, key=lambda one: (_accuracy(one), -int(one.version)), default=None)
    if best is None:
        return f"no {CHAMPION} of {name}: the models of these runs were deleted"
    decision = _decide(find_champion(client, name), best)
    if decision.moves:
        client.set_model_version_tag(name, best.version, _BECAUSE, decision.because)
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
    if _BECAUSE not in champion.tags:
        return _Decision(False, f"{described(champion)} stays: it was chosen by hand")
    if champion.tags[_IMAGES] != best.tags[_IMAGES]:
        other = f"{described(best)} was selected by other images; move the alias by hand to have it"
        return _Decision(False, f"{described(champion)} stays: {other}")
    if _accuracy(best) > _accuracy(champion):
        return _Decision(True, f"{described(best)}, above {described(champion)}")
    return _Decision(False, f"{described(champion)} stays: {described(best)} is not above it")


def described(version: ModelVersion) -> str:
    """A version in words; one that a user registered has no more than its number."""
    tags = version.tags
    if not {"cell", "seed", ACCURACY} <= set(tags):
        return f"version {version.version}"
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


def _add_version(client: MlflowClient, name: str, run: Run, validation_sha256: str) -> None:
    """Make a version of the run's model, unless there is one of its weights, or the model was deleted."""
    weights = run.data.tags["model.sha256"]
    if client.search_model_versions(f"name = '{name}' and tags.`model.sha256` = '{weights}'"):
        return
    logged = {one.model_id for one in run.outputs.model_outputs} if run.outputs else set()
    own = client.search_logged_models([run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'")
    ready = [one.model_id for one in own if one.model_id in logged and one.status == "READY"]  # others were interrupted
    if not ready:
        return
    tags = {key: run.data.tags[key] for key in ("cell", "model.sha256", "train.sha256", "data.sha256", "config.sha256")}
    tags |= {key: str(value) for key, value in run.data.metrics.items() if key.startswith("selected.")}
    tags |= {"seed": run.data.params["seed"], _IMAGES: validation_sha256}
    client.create_model_version(
        name, source=f"models:/{ready[0]}", run_id=run.info.run_id, tags=tags, model_id=ready[0]
    )
