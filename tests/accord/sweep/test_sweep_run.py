from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from accord.errors import UserError
from accord.sweep.sweep_run import check_inputs

DATA: dict[str, Any] = {"name": "digits", "validation": 5, "folder": None}
PARAMS: dict[str, Any] = {"data": DATA, "seeds": [1]}
PIPELINE = """
stages:
  prepare: {cmd: "true", params: [data.name, data.validation], outs: [data/processed]}
"""


def check(data: dict[str, Any], params: dict[str, Any], overrides: list[str]) -> None:
    check_inputs(OmegaConf.create({"data": data, "seed": 1}), params, overrides)


@pytest.fixture(autouse=True)
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the existing folder of the inputs, in a project whose stage `prepare` makes it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    folder = Path("data/processed")
    folder.mkdir(parents=True)
    return folder


def test_a_sweep_over_the_inputs_that_are_there_is_allowed() -> None:
    check(dict(DATA), PARAMS, ["cell=rnn,lstm", "data.validation=5", "database=1,2"])


@pytest.mark.parametrize("override", ["data=one,two", "data.validation=5,6", "data.validation=range(1,3)"])
def test_inputs_cannot_be_swept(override: str) -> None:
    with pytest.raises(UserError) as caught:
        check(DATA, PARAMS, [override])
    assert str(caught.value) == f"{override}: data can't be swept: all trials read data/processed"


def test_missing_inputs_are_refused_with_the_command_that_makes_them(inputs: Path) -> None:
    inputs.rmdir()
    with pytest.raises(UserError, match="processed is missing: run `dvc repro prepare`"):
        check(DATA, PARAMS, [])
    Path("dvc.yaml").unlink()
    with pytest.raises(UserError, match="processed is missing: run `dvc pull`, or put it there"):
        check(DATA, PARAMS, [])


@pytest.mark.parametrize("own", [{"validation": 6}, {"validation": 5.0}, {"folder": ""}, {"more": 1}])
def test_inputs_made_with_other_values_are_refused(own: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"was made with other values, which are in params\.yaml: set yours in conf/"):
        check(DATA | own, PARAMS, [])
    with pytest.raises(UserError, match="was made with other values"):
        check(DATA, {}, [])


def test_inputs_may_be_made_by_a_value_without_a_section() -> None:
    Path("dvc.yaml").write_text(PIPELINE.replace("data.name, data.validation", "seed"), encoding="utf-8")
    check(DATA, {"seed": 1}, ["data.validation=5,6"])
    with pytest.raises(UserError, match="seed: data/processed was made with other values"):
        check(DATA, {"seed": 2}, [])
