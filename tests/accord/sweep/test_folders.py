import json
from pathlib import Path
from typing import Any

import pytest

from accord.errors import UserError
from accord.files import sha256_file
from accord.sweep.folders import Pruning, Result, SweepRequest, TrialSettings, former_folder


def test_files_are_read_as_they_were_written(tmp_path: Path) -> None:
    request = SweepRequest(["cell=rnn,lstm"], ["hydra/launcher=basic"], {"uri": None, "experiment": "sweeps"})
    trial = TrialSettings("rnn seed=2", "/a folder", 3, "/data", 1)
    request.write(tmp_path)
    trial.write(tmp_path)
    assert SweepRequest.read(tmp_path) == request
    assert TrialSettings.read(tmp_path) == trial


@pytest.mark.parametrize("kind", [SweepRequest, TrialSettings])
def test_another_folder_is_refused(tmp_path: Path, kind: type[SweepRequest | TrialSettings]) -> None:
    with pytest.raises(UserError, match="is not the folder of a"):
        kind.read(tmp_path)
    with pytest.raises(UserError, match="is not the folder of a"):
        kind.read(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"other": 1}'])
def test_a_broken_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(UserError, match=r"sweep\.json can't be read"):
        SweepRequest.read(tmp_path)


def test_a_result_counts_for_its_configuration_alone(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("seeds: [1]\n")
    assert Result.read(tmp_path) is None
    result = Result("FINISHED", sha256_file(params), accuracy=0.5, epoch=1, metrics={"selected.val.accuracy": 0.5})
    result.write(tmp_path)
    assert Result.read(tmp_path) == result
    params.write_text("seeds: [2]\n")
    assert Result.read(tmp_path) is None


def test_a_result_of_an_earlier_version_has_no_metrics(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").touch()
    known = {"status": "FINISHED", "config": sha256_file(tmp_path / "params.yaml"), "accuracy": 0.5, "epoch": 1}
    (tmp_path / "result.json").write_text(json.dumps(known | {"error": "", "is_logged": True}))
    result = Result.read(tmp_path)
    assert result is not None
    assert (result.accuracy, result.epoch, result.metrics) == (0.5, 1, {})


@pytest.mark.parametrize("content", ["", "{", "[]", '{"status": "FINISHED"}', '{"other": 1}'])
def test_a_broken_result_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "params.yaml").touch()
    (tmp_path / "result.json").write_text(content)
    assert Result.read(tmp_path) is None


def test_a_decision_to_prune_counts_for_its_configuration_alone(tmp_path: Path) -> None:
    assert Pruning.read(tmp_path) is None, "not even params.yaml is there"
    params = tmp_path / "params.yaml"
    params.write_text("seeds: [1]\n")
    assert Pruning.read(tmp_path) is None
    pruning = Pruning(3, sha256_file(params))
    pruning.write(tmp_path)
    assert json.loads((tmp_path / "pruned.json").read_text()) == {"epoch": 3, "config": pruning.config}
    assert Pruning.read(tmp_path) == pruning
    params.write_text("seeds: [2]\n")
    assert Pruning.read(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"epoch": 1}', '{"epoch": 1, "config": "", "other": 1}'])
def test_a_broken_decision_to_prune_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "params.yaml").touch()
    (tmp_path / "pruned.json").write_text(content)
    assert Pruning.read(tmp_path) is None


@pytest.mark.parametrize(
    ("status", "is_over"), [("FINISHED", True), ("PRUNED", True), ("FAILED", False), ("KILLED", False)]
)
def test_a_trial_that_is_pruned_needs_no_more_training(tmp_path: Path, status: Any, is_over: bool) -> None:
    (tmp_path / "params.yaml").touch()
    result = Result(status, sha256_file(tmp_path / "params.yaml"), epoch=2, curve=[0.5, None, 0.25])
    result.write(tmp_path)
    assert Result.read(tmp_path) == result
    assert result.is_over is is_over


def test_a_sweep_knows_the_folder_that_it_had_before(tmp_path: Path) -> None:
    sweep = tmp_path / "sweeps" / "one"
    sweep.mkdir(parents=True)
    assert former_folder(sweep) is None
    for number in (0, 10):
        (sweep / str(number)).mkdir()
        TrialSettings("rnn", str(sweep), number, "/data", 1).write(sweep / str(number))
    assert former_folder(sweep) is None
    moved = sweep.rename(tmp_path / "moved")
    assert former_folder(moved) == sweep
    (moved / "0/trial.json").write_text('{"name": "of another version"}')
    assert former_folder(moved) == sweep
    (moved / "10/trial.json").write_text("")
    assert former_folder(moved) is None


def test_files_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    """The files are those that accord wrote before sweeps were a package."""
    (tmp_path / "params.yaml").touch()
    tracking = {"uri": None, "experiment": "sweeps"}
    kinds: list[Any] = [SweepRequest, TrialSettings, Result]
    files: dict[str, dict[str, Any]] = {
        "sweep.json": {
            "overrides": ["seed=1,2"],
            "hydra": ["hydra.mode=MULTIRUN"],
            "tracking": tracking,
            "searched": [],
        },
        "trial.json": {"name": "rnn seed=1", "sweep": "/a sweep", "number": 0, "data": "/data", "threads": 2},
        "result.json": {
            "status": "FINISHED",
            "config": sha256_file(tmp_path / "params.yaml"),
            "accuracy": 1.0,
            "epoch": 126,
            "error": "",
            "is_logged": True,
            "metrics": {"selected.epoch": 126},
        },
    }
    for name, values in files.items():
        (tmp_path / name).write_text(json.dumps(values, indent=2))
    for kind, values in zip(kinds, files.values(), strict=True):
        assert kind.read(tmp_path) == kind(**values)
