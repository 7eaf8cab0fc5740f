"""Trained models in MLflow's registry: a version for each, and the alias `champion` on the best of them."""

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

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
    """Make a version of the model of each training, once, and let `champion` move to the best if it is better.

    A champion that a user put somewhere by hand stays there. Return a line that says which version is champion, and
    why. `selection_sha256` is the digest of the examples by which the models of these finished runs were selected;
    `description` is used where the registered model has to be made.

    Raises:
        UserError: The store can't be used.
    """
    client, _ = open_store(tracking)
    mlflow.set_tracking_uri(client.tracking_uri)  # there MLflow looks for a version's model
    with user_errors(client.tracking_uri), one_at_a_time(client.tracking_uri), whole_transactions():
        with passing_over("RESOURCE_ALREADY_EXISTS"):
            client.create_registered_model(name, description=description)
        for run_id in run_ids:
            _add_version(client, name, client.get_run(run_id), selection_sha256)
        return _move_champion(client, name, selection_sha256)


def _move_champion(client: MlflowClient, name: str, selection_sha256: str) -> str:
    same_examples = client.search_model_versions(f"name = '{name}' and tags.`{_SELECTION}` = '{selection_sha256}'")
    best = max(same_examples, key=lambda one: (_score(one), -int(one.version)), default=None)
    if best is None:
        return f"no {CHAMPION} of {name}: the models of these runs were deleted"
    moves, because = _decide(find_champion(client, name), best)
    if moves:
        client.set_model_version_tag(name, best.version, _BECAUSE, because)
        client.set_registered_model_alias(name, CHAMPION, best.version)
    return f"{CHAMPION} of {name}: {because}"


def _decide(champion: ModelVersion | None, best: ModelVersion) -> tuple[bool, str]:
    """Return whether the alias moves to the best version, and why."""
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
    """Describe a version in words; one that a user registered has no more than its number."""
    tags, project = version.tags, find_project()
    if not {project.variant, "seed", SELECTED + project.metric} <= set(tags):
        return f"version {version.version}"
    trained = f"{tags[project.variant]} seed={tags['seed']}"
    return f"version {version.version} ({trained}, {in_words(project.metric)} {_score(version):.4f})"


def _score(version: ModelVersion) -> float:
    return float(version.tags[SELECTED + find_project().metric])


def find_champion(client: MlflowClient, name: str) -> ModelVersion | None:
    """Return the champion of a registered model; None where there is none, or no such model."""
    with passing_over("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
        return client.get_model_version_by_alias(name, CHAMPION)
    return None


def _add_version(client: MlflowClient, name: str, run: Run, selection_sha256: str) -> None:
    """Make a version of the run's model, unless there is one of its weights, or the model was deleted."""
    weights = run.data.tags["model.sha256"]
    if client.search_model_versions(f"name = '{name}' and tags.`model.sha256` = '{weights}'"):
        return
    own = client.search_logged_models([run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}'")
    model = next((one.model_id for one in own if one.status == "READY"), None)  # others were interrupted
    if model is None:
        return
    variant = find_project().variant
    tags = {key: text for key, text in run.data.tags.items() if key == variant or key.endswith(".sha256")}
    tags |= {key: str(value) for key, value in run.data.metrics.items() if key.startswith(SELECTED)}
    tags |= {"seed": run.data.params["seed"], _SELECTION: selection_sha256}
    client.create_model_version(name, f"models:/{model}", run_id=run.info.run_id, tags=tags, model_id=model)
