"""Trained models in MLflow's model registry: a version for each, and the alias `champion` for the best one."""

from pathlib import PurePosixPath

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.models.model import MLMODEL_FILE_NAME

from accord.metric_names import SELECTED, in_words
from accord.project import find_project
from accord.settings import Tracking
from accord.tracking.connection import passing_over, user_errors
from accord.tracking.runs import whole_transactions
from accord.tracking.store import one_at_a_time, open_store

CHAMPION = "champion"
_BECAUSE = f"{CHAMPION}.because"
_SELECTION = "validation.sha256"


def register(tracking: Tracking, name: str, description: str, run_ids: list[str], selection_sha256: str) -> str:
    """Register the models of finished runs, and move the alias `champion` to the best version if it is better.

    A model that is registered already gets no second version. An alias that a user set by hand stays.

    Args:
        tracking: Section `tracking` of the configuration.
        name: Name of the registered model.
        description: Description of the registered model, used if it has to be created.
        run_ids: Ids of the finished runs.
        selection_sha256: SHA-256 of the examples by which the runs' models were selected.

    Returns:
        A line that says which version is champion, and why.

    Raises:
        UserError: The store can't be used.
    """
    client, _ = open_store(tracking)
    mlflow.set_tracking_uri(client.tracking_uri)  # MLflow looks for a version's model there
    with user_errors(client.tracking_uri), one_at_a_time(client.tracking_uri), whole_transactions():
        with passing_over("RESOURCE_ALREADY_EXISTS"):
            client.create_registered_model(name, description=description)
        for run_id in run_ids:
            _add_version(client, name, client.get_run(run_id), selection_sha256)
        return _move_champion(client, name, selection_sha256)


def _move_champion(client: MlflowClient, name: str, selection_sha256: str) -> str:
    same_examples = client.search_model_versions(f"name = '{name}' and tags.`{_SELECTION}` = '{selection_sha256}'")
    with_files = [version for version in same_examples if _is_there(client, location(client, version))]
    best = max(with_files, key=lambda one: (_score(one), -int(one.version)), default=None)
    if best is None:
        return f"no {CHAMPION} of {name}: the models of these runs, or their files, were deleted"
    moves, because = _decide(find_champion(client, name), best)
    if moves:
        client.set_model_version_tag(name, best.version, _BECAUSE, because)
        client.set_registered_model_alias(name, CHAMPION, best.version)
    return f"{CHAMPION} of {name}: {because}"


def _decide(champion: ModelVersion | None, best: ModelVersion) -> tuple[bool, str]:
    """Return whether the alias moves to the best version, and the reason as text for people."""
    if champion is None:
        return True, f"{described(best)}, the first"
    if champion.version == best.version:
        return False, described(champion)
    if _BECAUSE not in champion.tags:
        return False, f"{described(champion)} stays: it was chosen by hand"
    if champion.tags[_SELECTION] != best.tags[_SELECTION]:
        other = f"{described(best)} was selected by other examples; move the alias by hand to have it"
        return False, f"{described(champion)} stays: {other}"
    if _score(best) > _score(champion):
        return True, f"{described(best)}, above {described(champion)}"
    return False, f"{described(champion)} stays: {described(best)} is not above it"


def described(version: ModelVersion) -> str:
    """Describe a version in words; of one without this package's tags give the number only."""
    tags, project = version.tags, find_project()
    if not {project.variant, "seed", SELECTED + project.metric} <= set(tags):
        return f"version {version.version}"
    trained = f"{tags[project.variant]} seed={tags['seed']}"
    return f"version {version.version} ({trained}, {in_words(project.metric)} {_score(version):.4f})"


def _score(version: ModelVersion) -> float:
    return float(version.tags[SELECTED + find_project().metric])


def find_champion(client: MlflowClient, name: str) -> ModelVersion | None:
    """Return the champion of a registered model, or None if it has none or does not exist."""
    with passing_over("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
        return client.get_model_version_by_alias(name, CHAMPION)
    return None


def location(client: MlflowClient, version: ModelVersion) -> str:
    """Return the address of the folder with a version's files."""
    return str(client.get_model_version_download_uri(version.name, version.version))


def files(client: MlflowClient, version: ModelVersion) -> list[str]:
    """Return the names of a version's files and folders; empty if its folder is missing."""
    return _files(client, location(client, version))


def _files(client: MlflowClient, address: str) -> list[str]:
    return [one.path for one in mlflow.artifacts.list_artifacts(address, tracking_uri=client.tracking_uri)]


def _is_there(client: MlflowClient, address: str) -> bool:
    return any(PurePosixPath(name).name == MLMODEL_FILE_NAME for name in _files(client, address))


def find_models(client: MlflowClient, run: Run) -> tuple[list[LoggedModel], list[LoggedModel]]:
    """Return the completely logged models of a run as two lists: those with files, and those whose files are lost."""
    own = client.search_logged_models([run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'")
    ready = [model for model in own if model.status == "READY"]  # logging of the others was interrupted
    whole = [model for model in ready if _is_there(client, model.artifact_location)]
    return whole, [model for model in ready if model not in whole]


def has_lost_model(tracking: Tracking, run_id: str) -> bool:
    """Return whether a run has models and all have lost their files; then `log_model` can log the model again.

    Raises:
        UserError: The store can't be used; `ServerAway` if the server is away.
    """
    client, _ = open_store(tracking)
    mlflow.set_tracking_uri(client.tracking_uri)
    with user_errors(client.tracking_uri):
        whole, lost = find_models(client, client.get_run(run_id))
    return bool(lost) and not whole


def _add_version(client: MlflowClient, name: str, run: Run, selection_sha256: str) -> None:
    """Register the run's model, unless its files are lost or a version with the same weights still has files.

    If the champion has the same weights and no files, the new version becomes champion.
    """
    weights = run.data.tags["model.sha256"]
    known = client.search_model_versions(f"name = '{name}' and tags.`model.sha256` = '{weights}'")
    if any(_is_there(client, location(client, version)) for version in known):
        return
    whole, _ = find_models(client, run)
    if not whole:
        return
    variant = find_project().variant
    tags = {key: text for key, text in run.data.tags.items() if key == variant or key.endswith(".sha256")}
    tags |= {key: str(value) for key, value in run.data.metrics.items() if key.startswith(SELECTED)}
    tags |= {"seed": run.data.params["seed"], _SELECTION: selection_sha256}
    champion = find_champion(client, name)
    replaces = champion is not None and champion.version in {version.version for version in known}
    if champion and replaces and _BECAUSE in champion.tags:
        tags[_BECAUSE] = champion.tags[_BECAUSE]
    model = whole[0].model_id
    added = client.create_model_version(name, f"models:/{model}", run_id=run.info.run_id, tags=tags, model_id=model)
    if replaces:
        client.set_registered_model_alias(name, CHAMPION, added.version)
