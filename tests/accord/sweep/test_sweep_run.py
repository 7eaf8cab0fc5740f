from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accord.errors import UserError
from accord.sweep.sweep_run import check_inputs
from seqmnist.project import PROJECT

PARAMS: dict[str, Any] = {"data": {"name": "digits", "validation": 5, "folder": None}, "seeds": [1]}


@pytest.fixture
def project(tmp_path: Path) -> Any:
    """A project whose inputs are there."""
    (tmp_path / "inputs").mkdir()
    return replace(PROJECT, inputs=str(tmp_path / "inputs"), inputs_stage="prepare")


def test_a_sweep_over_the_inputs_that_are_there_is_allowed(project: Any) -> None:
    check_inputs(project, dict(PARAMS["data"]), PARAMS, ["cell=rnn,lstm", "data.validation=5", "database=1,2"])


@pytest.mark.parametrize("override", ["data=one,two", "data.validation=5,6", "data.validation=range(1,3)"])
def test_inputs_cannot_be_swept(project: Any, override: str) -> None:
    with pytest.raises(UserError) as caught:
        check_inputs(project, PARAMS["data"], PARAMS, [override])
    assert str(caught.value) == f"{override}: data can't be swept: all trials read {project.inputs}"


def test_inputs_that_are_missing_are_told_of(project: Any) -> None:
    Path(project.inputs).rmdir()
    with pytest.raises(UserError, match="inputs is missing: run `dvc repro prepare`"):
        check_inputs(project, PARAMS["data"], PARAMS, [])


@pytest.mark.parametrize("own", [{"validation": 6}, {"validation": 5.0}, {"folder": ""}, {"more": 1}])
def test_inputs_made_with_other_values_are_refused(project: Any, own: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"was made with other values, which are in params\.yaml: set yours in conf/"):
        check_inputs(project, PARAMS["data"] | own, PARAMS, [])
    with pytest.raises(UserError, match="was made with other values"):
        check_inputs(project, PARAMS["data"], {}, [])
