import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.utils.file_utils import local_file_uri_to_path

from accord.settings import Tracking
from accord.tracking import registry
from accord.tracking.registry import find_champion, has_lost_model
from accord.tracking.runs import RunRequest, stage_run
from accord.tracking.store import open_store

IMAGES = "the validation images"
Train = Callable[..., str]
Register = Callable[[list[str], str], str]


@pytest.fixture
def name() -> str:
    """Return the name of a registered model that only this test uses."""
    return f"digits-{uuid.uuid4().hex}"


@pytest.fixture
def register(tracking: Tracking, name: str) -> Register:
    """Return a function that registers the models of runs and returns the line about the champion."""
    return partial(registry.register, tracking, name, "Models of digits.")


def write_files(model: LoggedModel) -> None:
    folder = Path(local_file_uri_to_path(model.artifact_location))
    folder.mkdir(parents=True)
    (folder / "MLmodel").touch()


def lose_files(run_id: str) -> None:
    client = MlflowClient()
    for one in client.get_run(run_id).outputs.model_outputs:
        shutil.rmtree(local_file_uri_to_path(client.get_logged_model(one.model_id).artifact_location))


def log_again(run_id: str) -> None:
    experiment = MlflowClient().get_run(run_id).info.experiment_id
    model = mlflow.initialize_logged_model(name="model", source_run_id=run_id, experiment_id=experiment)
    mlflow.finalize_logged_model(model.model_id, "READY")
    write_files(model)


@pytest.fixture
def train(tracking: Tracking) -> Train:
    """Return a function that logs a finished training with a model and returns its run's id."""

    def log(accuracy: float, weights: str, cell: str = "rnn", *, interrupted: bool = False) -> str:
        request = RunRequest("train", f"train@{cell}", {"cell": cell}, {"data.sha256": "dd"})
        with stage_run(tracking, request) as run:
            run.params({"seed": 42})
            run.tags({"model.sha256": weights, "train.sha256": weights})
            experiment = MlflowClient().get_run(run.id).info.experiment_id
            run.metrics({"selected.val.accuracy": accuracy, "selected.test.accuracy": 1 - accuracy})
            for status in ("FAILED", "READY") if interrupted else ("READY",):
                model = mlflow.initialize_logged_model(name="model", source_run_id=run.id, experiment_id=experiment)
                mlflow.finalize_logged_model(model.model_id, status)
                write_files(model)
                outputs = [LoggedModelOutput(model.model_id, step=0)]
                MlflowClient().log_outputs(run.id, outputs)
        return run.id

    return log


def versions(name: str) -> list[ModelVersion]:
    found = MlflowClient().search_model_versions(f"name = '{name}'")
    return sorted(found, key=lambda version: int(version.version))


def champion(name: str) -> str:
    found = find_champion(MlflowClient(), name)
    assert found is not None
    return str(found.tags["model.sha256"])


def test_every_model_becomes_a_version_with_its_figures_and_the_best_is_champion(
    name: str, register: Register, train: Train
) -> None:
    said = register([train(0.97, "aa"), train(0.99, "bb", "lstm"), train(0.98, "cc", "lstm")], IMAGES)

    assert [one.tags["model.sha256"] for one in versions(name)] == ["aa", "bb", "cc"]
    best = versions(name)[1]
    assert (best.tags["cell"], best.tags["seed"], best.tags["selected.val.accuracy"]) == ("lstm", "42", "0.99")
    assert champion(name) == "bb"
    assert said.startswith(f"champion of {name}: version 2 (lstm seed=42, ")
    assert said.endswith("validation accuracy 0.9900), the first")
    assert best.tags["champion.because"] in said


def test_the_same_weights_make_no_second_version(name: str, register: Register, train: Train) -> None:
    run_ids = [train(0.97, "aa"), train(0.99, "bb")]
    first, again, other_run = (register(ids, IMAGES) for ids in (run_ids, run_ids, [train(0.97, "aa")]))

    assert len(versions(name)) == 2
    assert first.startswith(again), "nothing is said of the first a second time"
    assert other_run == again


def test_champion_moves_only_to_a_higher_validation_accuracy_and_says_over_what(
    name: str, register: Register, train: Train
) -> None:
    register([train(0.98, "aa")], IMAGES)

    lower = register([train(0.97, "bb")], IMAGES)
    same = register([train(0.98, "cc")], IMAGES)
    assert champion(name) == "aa", "a higher test accuracy, as that of bb, is no reason"
    assert lower == same
    assert lower.endswith("version 1 (rnn seed=42, validation accuracy 0.9800)")

    said = register([train(0.99, "dd", "lstm")], IMAGES)
    assert champion(name) == "dd"
    best = "version 4 (lstm seed=42, validation accuracy 0.9900)"
    assert said.endswith(f"{best}, above version 1 (rnn seed=42, validation accuracy 0.9800)")


def test_accuracies_on_different_images_are_not_compared(name: str, register: Register, train: Train) -> None:
    register([train(0.98, "aa")], IMAGES)

    said = register([train(0.999, "bb")], "other images")

    assert champion(name) == "aa"
    assert "was selected by other examples; move the alias by hand" in said


def test_a_champion_chosen_by_hand_stays(name: str, register: Register, train: Train) -> None:
    register([train(0.98, "aa"), train(0.97, "bb")], IMAGES)
    client = MlflowClient()
    client.set_registered_model_alias(name, "champion", versions(name)[1].version)

    said = register([train(0.99, "cc")], IMAGES)

    assert champion(name) == "bb"
    assert said.endswith("stays: it was chosen by hand")


def test_a_deleted_alias_is_set_again_on_the_best_version(name: str, register: Register, train: Train) -> None:
    register([train(0.98, "aa")], IMAGES)
    client = MlflowClient()
    client.delete_registered_model_alias(name, "champion")

    register([train(0.97, "bb")], IMAGES)

    assert champion(name) == "aa"


def test_a_run_whose_model_was_deleted_is_skipped(name: str, register: Register, train: Train) -> None:
    run_id = train(0.98, "aa")
    client = MlflowClient()
    for one in client.get_run(run_id).outputs.model_outputs:
        client.delete_logged_model(one.model_id)

    assert register([run_id], IMAGES).startswith("no champion of ")
    assert versions(name) == []


def test_a_model_without_files_is_skipped(tracking: Tracking, name: str, register: Register, train: Train) -> None:
    run_id, other = train(0.98, "aa"), train(0.97, "bb")
    assert not has_lost_model(tracking, run_id)
    lose_files(run_id)

    register([run_id, other], IMAGES)

    assert [one.tags["model.sha256"] for one in versions(name)] == ["bb"]
    assert champion(name) == "bb"
    assert has_lost_model(tracking, run_id)


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_champion_that_lost_its_files_is_replaced_by_the_same_model_logged_again(
    tracking: Tracking, name: str, register: Register, train: Train, by_hand: bool
) -> None:
    best, other = train(0.98, "aa"), train(0.97, "bb")
    register([best, other], IMAGES)
    chosen = other if by_hand else best
    if by_hand:
        MlflowClient().set_registered_model_alias(name, "champion", versions(name)[1].version)
    lose_files(chosen)
    log_again(chosen)
    assert not has_lost_model(tracking, chosen)

    said = register([best, other], IMAGES)

    found = find_champion(MlflowClient(), name)
    assert found is not None
    assert (int(found.version), champion(name)) == (3, "bb" if by_hand else "aa")
    assert found.tags["selected.val.accuracy"] == ("0.97" if by_hand else "0.98")
    assert ("champion.because" in found.tags) is not by_hand
    assert f"champion of {name}: version 3 (rnn seed=42" in said
    assert register([best, other], IMAGES) == said
    assert len(versions(name)) == 3


def test_an_interrupted_model_of_a_run_is_skipped(name: str, register: Register, train: Train) -> None:
    run_id = train(0.98, "aa", interrupted=True)
    register([run_id], IMAGES)

    client = MlflowClient()
    model = str(versions(name)[0].source).removeprefix("models:/")
    assert client.get_logged_model(model).status == "READY"


def test_there_is_no_champion_where_nothing_is_registered(tracking: Tracking, name: str) -> None:
    assert find_champion(open_store(tracking)[0], name) is None


REGISTERER = """
import sys
from accord.settings import Tracking
from accord.tracking.registry import register
tracking = Tracking.model_validate_json(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
register(tracking, sys.argv[2], "Models of digits.", sys.argv[3:], "the validation images")
"""


@pytest.mark.slow
def test_evaluations_at_the_same_time_make_one_version_of_a_model_and_the_best_champion(
    tracking: Tracking, name: str, train: Train
) -> None:
    low, high = train(0.97, "aa"), train(0.99, "bb")
    command = [sys.executable, "-c", REGISTERER, tracking.model_dump_json(), name]
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen([*command, *runs], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for runs in ([low], [high, low], [low], [low])
        ]
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:  # all wait for this line: they set out within a moment
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

    assert [process.returncode for process in started] == [0] * 4
    assert sorted(one.tags["model.sha256"] for one in versions(name)) == ["aa", "bb"]
    assert champion(name) == "bb"
