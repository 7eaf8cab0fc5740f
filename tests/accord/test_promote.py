import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from accord import promote as module
from accord.errors import UserError
from accord.promote import promote, promotion
from accord.settings import flatten
from accord.tracking.sweeps import Trial
from seqmnist.config import Config

PIPELINE = Path(__file__).parents[2] / "dvc.yaml"


@pytest.fixture
def add_trial(tiny_values: dict[str, Any], tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes a trial as read from MLflow, with the tiny pipeline's values, some replaced."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(PIPELINE, tmp_path)
    monkeypatch.setenv("ACCORD_PROJECT", "seqmnist.project:PROJECT")
    monkeypatch.setattr(module, "compose", lambda _folder: ("", tiny_values))

    def add(cell: str = "lstm", accuracy: float = 0.9, number: int = 0, **replaced: Any) -> Trial:
        parameters = flatten(tiny_config.parameters_of(cell, 42)) | {
            key.replace("__", "."): value for key, value in replaced.items()
        }
        metrics = {"selected.val.accuracy": accuracy, "selected.test.accuracy": accuracy - 0.1}
        return Trial(number, f"id{number}", f"{cell} a trial", "FINISHED", "", 1.5, "the command", parameters, metrics)

    return add


def promoted(monkeypatch: pytest.MonkeyPatch, trials: Trial | list[Trial]) -> tuple[dict[str, Any], str]:
    """Promote a trial, and return the values in the written file and the file's text."""
    monkeypatch.setattr(module, "read_run", lambda _tracking, _source: trials)
    promote("a run", "winner")
    text = Path("conf/experiment/winner.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text) or {}, text


def test_only_what_differs_is_written_below_the_cell(
    add_trial: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values, text = promoted(monkeypatch, add_trial(cell__units=9, train__clip_norm=1.0, train__epochs=7))
    assert values == {"cells": {"lstm": {"units": 9, "train": {"clip_norm": 1.0, "epochs": 7}}}}
    assert text.startswith("# @package _global_\n")
    for part in ("id0", "the command", "0.9000", "0.8000", "1.5 minutes"):
        assert part in text
    assert capsys.readouterr().out.splitlines()[-1] == "dvc exp run -S experiment=winner"


def test_the_file_names_the_schema_where_the_project_has_one(add_trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = promoted(monkeypatch, add_trial(cell__units=9))
    assert "yaml-language-server" not in text
    Path("conf/experiment/winner.yaml").unlink()
    Path("conf/.schema.json").touch()
    _, text = promoted(monkeypatch, add_trial(cell__units=9))
    assert text.startswith("# @package _global_\n# yaml-language-server: $schema=../.schema.json\n")


def test_the_best_configuration_by_its_mean_is_taken_with_the_pipelines_seed(
    add_trial: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = [
        add_trial(cell__units=5, accuracy=0.99, number=0, seed=42),
        add_trial(cell__units=5, accuracy=0.80, number=1, seed=1),
        add_trial(cell__units=6, accuracy=0.91, number=2, seed=42),
        add_trial(cell__units=6, accuracy=0.93, number=3, seed=1),
    ]
    values, text = promoted(monkeypatch, trials)
    assert values["cells"]["lstm"] == {"units": 6}
    assert "0.9200, the mean of 2 seeds (0.9300, 0.9100)" in text
    assert "seeds" not in capsys.readouterr().out.splitlines()[-1]


def test_another_seed_or_sequence_goes_into_the_command_since_all_cells_share_it(
    add_trial: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    promoted(monkeypatch, add_trial(seed=7, sequence__view="columns", cell__units=9))
    *_, note, command = capsys.readouterr().out.splitlines()
    assert "seed 7 is not the pipeline's" in note
    assert shlex.split(command)[3:] == ["-S", "experiment=winner", "-S", "sequence.view=columns", "-S", "seeds=[7]"]


def test_a_file_is_not_overwritten_by_other_values(add_trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    promoted(monkeypatch, add_trial(cell__units=9))
    promoted(monkeypatch, add_trial(cell__units=9))
    with pytest.raises(UserError, match=r"winner\.yaml exists with other content"):
        promoted(monkeypatch, add_trial(cell__units=10))


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"cell__type": "gru"}, "the trial's cell is gru, the pipeline has rnn, lstm"),
        ({"data__name": "other"}, "data.name = other, the pipeline tiny"),
    ],
)
def test_what_the_pipeline_cannot_train_is_refused(
    add_trial: Any, monkeypatch: pytest.MonkeyPatch, replaced: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        promoted(monkeypatch, add_trial(**replaced))
    assert not Path("conf").exists(), "nothing is written"


def test_a_trial_of_an_earlier_version_is_refused(add_trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = add_trial()
    del trial.parameters["train.shift"], trial.parameters["train.averaging"]
    with pytest.raises(UserError, match=r"has no train\.averaging, train\.shift: an earlier version trained it"):
        promoted(monkeypatch, trial)
    assert not Path("conf").exists(), "nothing is written"


def test_a_run_that_is_no_training_is_refused(add_trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = add_trial()
    trial.metrics.clear()
    with pytest.raises(UserError, match="no trial of it is finished"):
        promoted(monkeypatch, trial)


def test_names_differ_if_exponents_differ(add_trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, file in (("sgd lr=1e+30", "sgd_lr-1e30"), ("sgd lr=1e-30", "sgd_lr-1e-30")):
        trial = replace(add_trial(cell__units=9), name=name)
        monkeypatch.setattr(module, "read_run", lambda _tracking, _source, trial=trial: trial)
        promote("a run", None)
        assert Path(f"conf/experiment/{file}.yaml").is_file()


def test_a_sweep_without_a_finished_trial_is_refused(add_trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    del add_trial
    with pytest.raises(UserError, match="no trial of it is finished"):
        promoted(monkeypatch, [])


def test_a_pruned_trial_is_skipped(add_trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pruned = replace(add_trial(cell__units=5, accuracy=0.99), pruned=2)
    values, _ = promoted(monkeypatch, [pruned, add_trial(cell__units=6, accuracy=0.91, number=1)])
    assert values["cells"]["lstm"] == {"units": 6}


@pytest.mark.parametrize("is_sweep", [True, False])
def test_a_pruned_trial_alone_is_refused_with_the_reason(
    add_trial: Any, monkeypatch: pytest.MonkeyPatch, is_sweep: bool
) -> None:
    pruned = replace(add_trial(), pruned=0)
    with pytest.raises(UserError) as caught:
        promoted(monkeypatch, [pruned] if is_sweep else pruned)
    reason = "(pruned trials were not trained to their end)"
    assert str(caught.value) == f"a run: no trial of it is finished {reason}"


@pytest.mark.parametrize("name", ["../winner", "a/b", ".winner", "-winner", "", "winner\n"])
def test_a_name_that_is_not_a_file_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"\A--name = .* is impossible: .+\Z"):
        promote("0123", name)


def test_a_pipeline_that_is_not_valid_is_refused(
    add_trial: Any, tiny_values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_values["seeds"] = []
    with pytest.raises(UserError, match=r"\Aconf: seeds = "):
        promoted(monkeypatch, add_trial())


@pytest.fixture
def trial(tiny_config: Config) -> Callable[..., dict[str, Any]]:
    """Return a function that makes the flat parameters of a trial of the tiny pipeline, with some replaced."""

    def make(**replaced: Any) -> dict[str, Any]:
        own = {key.replace("__", "."): value for key, value in replaced.items()}
        return flatten(tiny_config.parameters_of("lstm", 42)) | own

    return make


def test_a_trial_with_the_pipelines_values_needs_no_settings(trial: Any, tiny_values: dict[str, Any]) -> None:
    assert promotion(trial(), tiny_values) == ({}, [], [])


def test_values_of_one_cell_are_written_below_it(trial: Any, tiny_values: dict[str, Any]) -> None:
    values, settings, remarks = promotion(trial(cell__units=9, train__clip_norm=1.0), tiny_values)
    assert values == {"cells": {"lstm": {"units": 9, "train": {"clip_norm": 1.0}}}}
    assert (settings, remarks) == ([], [])


def test_values_that_all_cells_share_become_settings(trial: Any, tiny_values: dict[str, Any]) -> None:
    values, settings, remarks = promotion(trial(seed=7, sequence__view="columns"), tiny_values)
    assert values == {}
    assert settings == ["sequence.view=columns", "seeds=[7]"]
    assert remarks == ["seed 7 is not the pipeline's: with it, the other cells are trained anew too"]


FLAT = {
    "data": {"points": 9},
    "model": {"type": "mlp", "rate": 0.1, "units": 4},
    "train": {"epochs": 5},
    "seed": 1,
    "tracking": {"uri": None},
}


def of_flat(**replaced: Any) -> dict[str, Any]:
    """Return the flat parameters of a trial with the pipeline's values, some replaced."""
    own = {key.replace("__", "."): value for key, value in replaced.items()}
    return flatten({key: value for key, value in FLAT.items() if key != "tracking"}) | own


@pytest.mark.usefixtures("flat")
def test_a_pipeline_of_one_model_takes_all_values_into_the_file() -> None:
    assert promotion(of_flat(), FLAT) == ({}, [], [])
    values, settings, remarks = promotion(of_flat(model__rate=0.5, train__epochs=7, seed=3), FLAT)
    assert values == {"model": {"rate": 0.5}, "train": {"epochs": 7}}
    assert (settings, remarks) == (["seed=3"], [])
    with pytest.raises(UserError, match=r"the trial has data\.points = 8, the pipeline 9: they are not trained on"):
        promotion(of_flat(data__points=8), FLAT)


@pytest.mark.usefixtures("flat")
def test_another_option_of_the_group_is_chosen_with_all_of_its_values() -> None:
    values, settings, _ = promotion(of_flat(model__type="sgd", train__epochs=7), FLAT)
    assert values == {
        "defaults": [{"override /model": "sgd"}],
        "model": {"type": "sgd", "rate": 0.1, "units": 4},
        "train": {"epochs": 7},
    }
    assert settings == []


@pytest.mark.usefixtures("flat")
def test_a_null_of_another_option_is_written_too() -> None:
    values, _, _ = promotion(of_flat(model__type="sgd", model__units=None), FLAT)
    assert values["model"] == {"type": "sgd", "rate": 0.1, "units": None}


@pytest.mark.usefixtures("flat")
def test_a_trial_of_one_model_needs_all_values_that_the_pipeline_has() -> None:
    trial = of_flat()
    del trial["train.epochs"]
    with pytest.raises(UserError, match=r"the trial has no train\.epochs: an earlier version trained it"):
        promotion(trial, FLAT)
