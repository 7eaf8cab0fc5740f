import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from accord.errors import UserError
from accord.files import write_json
from benchmarks import pipeline
from benchmarks.pipeline import SIDES, clone, measure, train
from seqmnist import config
from seqmnist.config import Config
from seqmnist.data import splits
from seqmnist.paths import PROCESSED
from tests import projects
from tests.mlflow_store import curve, runs, steps
from tests.projects import Project


@pytest.fixture
def source(tiny_values: dict[str, Any], tiny_config: Config, tiny_raw: Path, tmp_path: Path) -> Project:
    """Return a clone of this repository with tiny images and two epochs."""
    project = projects.clone(tmp_path / "source")
    (project.root / "params.yaml").write_text(yaml.safe_dump(tiny_values))
    project.succeed("git", "commit", "--quiet", "--all", "--message", "Use tiny data")
    data = splits.read_raw(tiny_raw, tiny_config.data)
    splits.save(project.root / PROCESSED, data)
    write_json(project.root / PROCESSED / splits.SUMMARY, splits.summary(data))
    return project


def test_a_clone_has_uncommitted_code_and_the_images(
    source: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "ROOT", source.root)
    source.edit("src/seqmnist/paths.py", "PROCESSED = ", "# edited\nPROCESSED = ")

    assert clone(tmp_path / "clone", 7) == 7

    there = Project(tmp_path / "clone")
    assert config.load(there.root / "params.yaml").train.epochs == 7
    assert there.run("git", "status", "--short").output.split() == ["M", "params.yaml", "M", "src/seqmnist/paths.py"]
    assert splits.load_all(there.root / PROCESSED)[1] == splits.load_all(source.root / PROCESSED)[1]


def test_without_images_nothing_is_cloned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "ROOT", tmp_path / "source")

    with pytest.raises(UserError, match=r"train\.images\.npy is missing"):
        clone(tmp_path / "clone", None)

    assert not (tmp_path / "clone").exists()


def test_a_failing_command_is_reported_with_its_last_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"abacus rnn failed: .+ No module named abacus"):
        train(tmp_path, "abacus", "rnn")


@pytest.mark.parametrize(("options", "keeps"), [([], True), (["--epochs", "2"], False)])
def test_results_are_kept_only_for_the_recipes_own_number_of_epochs(
    options: list[str], keeps: bool, pipeline_results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, Any]] = []
    monkeypatch.setattr(sys, "argv", ["pipeline", *options])
    monkeypatch.setattr(pipeline, "clone", lambda _target, epochs: epochs or 15)
    monkeypatch.setattr(pipeline, "measure", lambda _repository, _rounds: pipeline_results["cells"])
    monkeypatch.setattr("benchmarks.kept.keep_pipeline", kept.append)

    pipeline.main()

    assert [one["cells"] for one in kept] == [pipeline_results["cells"]] * keeps


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("train", {"schedule": "cosine"}, "train.schedule = cosine: this benchmark supports only constant"),
        ("train", {"shift": 2.0}, "train.shift = 2.0: this benchmark supports only 0"),
        ("sequence", {"view": "pixels"}, "sequence.view = pixels: this benchmark supports only rows"),
        ("seeds", [1, 2], "number of seeds = 2: this benchmark supports only 1"),
    ],
)
def test_the_keras_stage_refuses_settings_that_it_lacks(
    tiny_values: dict[str, Any], section: str, value: Any, message: str
) -> None:
    from benchmarks import keras_stage

    changed = tiny_values | {section: tiny_values[section] | value if isinstance(value, dict) else value}
    configuration = config.validate(changed, "here")
    with pytest.raises(UserError) as caught:
        keras_stage.check(configuration, configuration.train_of("rnn"))
    assert str(caught.value) == message


@pytest.mark.slow
def test_both_sides_log_the_same_metrics_and_keep_the_best_epoch(
    source: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "ROOT", source.root)
    monkeypatch.setattr(pipeline, "CELLS", ("lstm",))
    clone(tmp_path / "clone", None)

    cells = measure(tmp_path / "clone", rounds=1)

    there = Project(tmp_path / "clone")
    for side, name in zip(SIDES, ("train@lstm", "keras@lstm"), strict=True):
        (measured,) = cells["lstm"][side]
        run = runs(there, "seqmnist", f"attributes.run_name = '{name}'")[0]
        seconds = [value for _, value in curve(there, run, "time.epoch_seconds")]
        assert measured["training_seconds"] == pytest.approx(sum(seconds))
        assert measured["seconds"] > measured["training_seconds"] > 0
        assert run.info.status == "FINISHED"
        assert len(run.outputs.model_outputs) == 1
    keras_run, stage_run, _ = runs(there, "seqmnist")
    assert keras_run.data.params.keys() == stage_run.data.params.keys()
    assert stage_run.data.metrics.keys() - keras_run.data.metrics.keys() == {"train.last_batch_accuracy"}
    assert steps(there, keras_run, "val.accuracy") == steps(there, stage_run, "val.accuracy") == [0, 1]

    import keras

    best = keras.saving.load_model(there.root / "models/keras-lstm.keras")
    validation = splits.load(there.root / PROCESSED, "validation")
    _, accuracy = best.evaluate(validation.images, validation.labels, verbose=0)
    assert accuracy == pytest.approx(max(value for _, value in curve(there, keras_run, "val.accuracy")))
    assert accuracy == pytest.approx(keras_run.data.metrics["selected.val.accuracy"])
