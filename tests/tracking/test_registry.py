import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import mlflow
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion

from seqmnist.config import Config
from seqmnist.files import write_text
from seqmnist.tracking.registry import find_champion, register, registered_name
from seqmnist.tracking.runs import stage_run
from seqmnist.tracking.store import open_store

IMAGES = "the validation images"
Train = Callable[..., str]


@pytest.fixture
def own(config: Config) -> Config:
    """A configuration whose data set, and so its registered model, is the test's own."""
    data = config.data.model_copy(update={"name": f"tiny-{uuid.uuid4().hex}"})
    return config.model_copy(update={"data": data})


@pytest.fixture
def train(own: Config) -> Train:
    """Logs a finished training with a model, and gives its run's id."""

    def log(accuracy: float, weights: str, cell: str = "rnn", *, interrupted: bool = False) -> str:
        with stage_run(own, "train", f"train@{cell}", {"cell": cell}) as run:
            run.params({"seed": 42})
            run.tags({"model.sha256": weights, "train.sha256": weights})
            experiment = MlflowClient().get_run(run.id).info.experiment_id
            run.metrics({"selected.val.accuracy": accuracy, "selected.test.accuracy": 1 - accuracy})
            for status in ("FAILED", "READY") if interrupted else ("READY",):
                model = mlflow.initialize_logged_model(name="model", source_run_id=run.id, experiment_id=experiment)
                mlflow.finalize_logged_model(model.model_id, status)
                outputs = [LoggedModelOutput(model.model_id, step=0)]
                MlflowClient().log_outputs(run.id, outputs)
        return run.id

    return log


def versions(config: Config) -> list[ModelVersion]:
    client, _ = open_store(config.tracking)
    found = client.search_model_versions(f"name = '{registered_name(config.data.name)}'")
    return sorted(found, key=lambda version: int(version.version))


def champion(config: Config) -> str:
    found = find_champion(open_store(config.tracking)[0], registered_name(config.data.name))
    assert found is not None
    return str(found.tags["model.sha256"])


def test_every_model_becomes_a_version_with_its_figures_and_the_best_is_champion(own: Config, train: Train) -> None:
    said = register(own, [train(0.97, "aa"), train(0.99, "bb", "lstm"), train(0.98, "cc", "lstm")], IMAGES)

    assert [one.tags["model.sha256"] for one in versions(own)] == ["aa", "bb", "cc"]
    best = versions(own)[1]
    assert (best.tags["cell"], best.tags["seed"], best.tags["selected.val.accuracy"]) == ("lstm", "42", "0.99")
    assert champion(own) == "bb"
    assert said.startswith(f"champion of {registered_name(own.data.name)}: version 2 (lstm seed=42, ")
    assert said.endswith("validation accuracy 0.9900), the first")
    assert best.tags["champion.because"] in said


def test_the_same_weights_make_no_second_version(own: Config, train: Train) -> None:
    run_ids = [train(0.97, "aa"), train(0.99, "bb")]
    first, again, other_run = (register(own, ids, IMAGES) for ids in (run_ids, run_ids, [train(0.97, "aa")]))

    assert len(versions(own)) == 2
    assert first.startswith(again), "nothing is said of the first a second time"
    assert other_run == again


def test_champion_moves_only_to_a_higher_validation_accuracy_and_says_over_what(own: Config, train: Train) -> None:
    register(own, [train(0.98, "aa")], IMAGES)

    lower = register(own, [train(0.97, "bb")], IMAGES)
    same = register(own, [train(0.98, "cc")], IMAGES)
    assert champion(own) == "aa", "a higher test accuracy, as that of bb, is no reason"
    assert lower == same
    assert lower.endswith("version 1 (rnn seed=42, validation accuracy 0.9800)")

    said = register(own, [train(0.99, "dd", "lstm")], IMAGES)
    assert champion(own) == "dd"
    best = "version 4 (lstm seed=42, validation accuracy 0.9900)"
    assert said.endswith(f"{best}, above version 1 (rnn seed=42, validation accuracy 0.9800)")


def test_accuracies_on_other_images_are_not_compared(own: Config, train: Train) -> None:
    register(own, [train(0.98, "aa")], IMAGES)

    said = register(own, [train(0.999, "bb")], "other images")

    assert champion(own) == "aa"
    assert "was selected by other images; move the alias by hand" in said


def test_a_champion_chosen_by_hand_stays(own: Config, train: Train) -> None:
    register(own, [train(0.98, "aa"), train(0.97, "bb")], IMAGES)
    client, _ = open_store(own.tracking)
    client.set_registered_model_alias(registered_name(own.data.name), "champion", versions(own)[1].version)

    said = register(own, [train(0.99, "cc")], IMAGES)

    assert champion(own) == "bb"
    assert said.endswith("stays: it was chosen by hand")


def test_a_deleted_alias_comes_back_to_the_best_of_all(own: Config, train: Train) -> None:
    register(own, [train(0.98, "aa")], IMAGES)
    client, _ = open_store(own.tracking)
    client.delete_registered_model_alias(registered_name(own.data.name), "champion")

    register(own, [train(0.97, "bb")], IMAGES)

    assert champion(own) == "aa"


def test_a_run_whose_model_was_deleted_is_passed_over(own: Config, train: Train) -> None:
    run_id = train(0.98, "aa")
    client, _ = open_store(own.tracking)
    for one in client.get_run(run_id).outputs.model_outputs:
        client.delete_logged_model(one.model_id)

    assert register(own, [run_id], IMAGES).startswith("no champion of ")
    assert versions(own) == []


def test_an_interrupted_model_of_a_run_is_passed_over(own: Config, train: Train) -> None:
    run_id = train(0.98, "aa", interrupted=True)
    register(own, [run_id], IMAGES)

    client, _ = open_store(own.tracking)
    model = str(versions(own)[0].source).removeprefix("models:/")
    assert client.get_logged_model(model).status == "READY"


def test_there_is_no_champion_where_nothing_is_registered(own: Config) -> None:
    assert find_champion(open_store(own.tracking)[0], registered_name(own.data.name)) is None


REGISTERER = """
import sys
from pathlib import Path
from seqmnist import config
from seqmnist.tracking.registry import register
configuration = config.load(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
register(configuration, sys.argv[2:], "the validation images")
"""


def test_evaluations_at_the_same_time_make_one_version_of_a_model_and_the_best_champion(
    own: Config, train: Train, tmp_path: Path
) -> None:
    low, high = train(0.97, "aa"), train(0.99, "bb")
    write_text(tmp_path / "params.yaml", yaml.safe_dump(own.model_dump()))
    command = [sys.executable, "-c", REGISTERER, str(tmp_path / "params.yaml")]
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
    assert sorted(one.tags["model.sha256"] for one in versions(own)) == ["aa", "bb"]
    assert champion(own) == "bb"
