"""MLflow agrees with what DVC skipped or restored from its cache."""

from typing import Any

import mlflow
from mlflow.entities import Run

from accord.files import sha256_file

STAGES = {"download", "preprocess", "train@rnn", "train@lstm", "evaluate"}


def runs(project: Any) -> dict[str, Run]:
    """The runs by name, of which there must be one each."""
    client = mlflow.MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("seqmnist")
    assert experiment is not None
    found = list(client.search_runs([experiment.experiment_id]))
    assert len({run.info.run_name for run in found}) == len(found), [run.info.run_name for run in found]
    return {str(run.info.run_name): run for run in found}


def sync(project: Any) -> Any:
    return project.succeed("python", "-m", "seqmnist", "sync", PYTHONPATH="src")


def curve(project: Any, run: Run, metric: str) -> list[tuple[int, float]]:
    client = mlflow.MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, metric)]


def test_an_empty_store_is_filled_from_the_outputs_once(project: Any, reproduced: Any) -> None:
    result = sync(project)

    made, original = runs(project), runs(reproduced)
    assert set(made) == set(original) == STAGES
    assert result.output.count("MLflow did not have it: logged now") == len(STAGES)
    for name, run in made.items():
        assert run.info.status == "FINISHED"
        assert run.data.tags["source"] == "dvc-cache"
        assert "source" not in original[name].data.tags
        assert run.data.params == original[name].data.params
        timeless = {metric for metric in original[name].data.metrics if not metric.startswith("time.")}
        assert {metric: run.data.metrics[metric] for metric in timeless} == {
            metric: original[name].data.metrics[metric] for metric in timeless
        }
        for tag in ("config.sha256", "data.sha256", "train.sha256", "splits.sha256", "metrics.sha256"):
            assert run.data.tags.get(tag) == original[name].data.tags.get(tag)
    for metric in ("train.loss", "val.accuracy"):
        assert curve(project, made["train@lstm"], metric) == curve(reproduced, original["train@lstm"], metric)
    assert len(made["train@rnn"].outputs.model_outputs) == 1

    assert "MLflow did not" not in sync(project).output
    assert {run.info.run_id for run in runs(project).values()} == {run.info.run_id for run in made.values()}


def test_the_runs_of_a_repro_are_found_not_made_again(unrun: Any) -> None:
    unrun.succeed("dvc", "repro")
    before = runs(unrun)

    (line,) = sync(unrun).output.splitlines()

    assert line.startswith("champion of seqmnist-tiny: version ")
    assert {name: run.data.tags for name, run in runs(unrun).items()} == {
        name: run.data.tags for name, run in before.items()
    }


def test_a_skipped_training_belongs_to_both_configurations(project: Any) -> None:
    sync(project)
    first = sha256_file(project.root / "params.yaml")
    project.edit("conf/cell/lstm.yaml", "units: 8", "units: 6")

    result = project.succeed("dvc", "repro")

    assert "train@rnn" in result.stages_skipped
    second = sha256_file(project.root / "params.yaml")
    client = mlflow.MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("seqmnist")

    def of(config: str, stage: str) -> list[Run]:
        return list(
            client.search_runs(
                [experiment.experiment_id], f"tags.`config.sha256` LIKE '%{config}%' and tags.stage = '{stage}'"
            )
        )

    (rnn,), (shared,) = (
        [run for run in of(config, "train") if run.data.tags["cell"] == "rnn"] for config in (first, second)
    )
    assert rnn.info.run_id == shared.info.run_id
    (evaluation,) = of(second, "evaluate")
    (lstm,) = [run for run in of(second, "train") if run.data.tags["cell"] == "lstm"]
    assert evaluation.data.tags["train.runs"].split() == [rnn.info.run_id, lstm.info.run_id]

    sync(project)
    assert {run.data.tags["stage"] for stage in ("download", "preprocess") for run in of(second, stage)} == {
        "download",
        "preprocess",
    }


def test_sync_before_the_pipeline_ran_says_so(unrun: Any) -> None:
    result = unrun.run("python", "-m", "seqmnist", "sync", PYTHONPATH="src")
    assert result.code == 1
    (line,) = result.output.splitlines()
    assert line.startswith("error: reports/train/rnn/history.csv is missing: run `dvc repro`")
