from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from accord.errors import UserError
from accord.sweep.search import check as module
from accord.sweep.search.check import check, check_ends
from accord.sweep.search.spaces import parse
from tests.accord.sweep.search.simulated import search

RATE, UNITS = "model.rate=interval(0.1, 0.9)", "model.units=range(1, 9)"

Compose = Callable[..., DictConfig]
Check = Callable[[Callable[[dict[str, Any]], bool]], list[dict[str, Any]]]


@pytest.fixture
def impossible(monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return a function that sets the rule for impossible values, and returns the list of checked values."""

    def rule(is_impossible: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        class Project:
            def check_values(self, values: dict[str, Any], origin: str) -> None:
                asked.append(values["model"])
                if is_impossible(values["model"]):
                    raise UserError(f"{origin}: {values['model']}")

        monkeypatch.setattr(module, "find_project", Project)
        return asked

    return rule


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("verbose", "5", 5),
        ("backend", "threading", "threading"),
        ("batch_size", "7", "7"),
        ("pre_dispatch", "all", "all"),
    ],
)
def test_an_option_of_joblib_without_effect_is_refused(composed: Compose, key: str, value: str, text: object) -> None:
    with pytest.raises(UserError) as caught:
        check(composed(f"hydra.launcher.{key}={value}"))
    assert str(caught.value) == f"hydra.launcher.{key} = {text!r} has no effect in a search"


@pytest.mark.parametrize(
    ("overrides", "is_refused"),
    [
        (["hydra.sweeper.percentile=10"], True),
        (["hydra.sweeper.percentile=10", "hydra.sweeper.pruner=percentile"], False),
        (["hydra.sweeper.n_warmup_epochs=2", "hydra.sweeper.pruner=none"], True),
        (["hydra.sweeper.n_warmup_epochs=2", "hydra.sweeper.pruner=hyperband"], False),
        (["hydra.sweeper.n_startup_trials=3", "hydra.sweeper.pruner=none", "hydra.sweeper.sampler=qmc"], True),
        (["hydra.sweeper.n_startup_trials=3", "hydra.sweeper.sampler=qmc"], False),
        (["hydra.sweeper.n_startup_trials=3", "hydra.sweeper.pruner=none"], False),
    ],
)
def test_a_setting_without_effect_beside_others_is_refused(
    composed: Compose, overrides: list[str], is_refused: bool
) -> None:
    config = composed(*overrides)
    if not is_refused:
        check(config)
        return
    with pytest.raises(UserError) as caught:
        check(config)
    assert str(caught.value).startswith(f"{overrides[0]} has no effect with sampler ")


@pytest.mark.parametrize("override", ["hydra.launcher.n_jobs=3", "hydra/launcher=basic", "hydra.launcher.verbose=0"])
def test_options_with_an_effect_are_not_refused(composed: Compose, override: str) -> None:
    check(composed(override))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hydra.sweeper.sampler=cmaes"], "hydra.sweeper.sampler = cmaes needs two or more"),
        (["hydra.sweeper.sampler=grid"], "model.rate: hydra.sweeper.sampler = grid needs"),
        (["hydra.sweeper.n_trials=0"], "conf: hydra.sweeper.n_trials = 0 is impossible"),
        (["model.rate=0.5"], "a search needs a space"),
        (["model.units=range(3,1)"], "model.units=range(3,1): the range is empty"),
        (["model.units=glob(*)"], "model.units=glob(*): the choice is empty"),
    ],
)
def test_a_search_that_cannot_work_is_refused_before_anything_is_written(
    composed: Compose, tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        check(composed(*overrides))
    (line,) = str(caught.value).splitlines()
    assert line.startswith(message)
    assert not (tmp_path / "sweeps").exists()


def test_the_command_line_replaces_spaces_of_the_file(composed: Compose) -> None:
    check(composed("hydra.sweeper.sampler=grid", "model.rate=0.1,0.2"))
    check(composed("hydra.sweeper.sampler=grid", "model.rate=0.5", "seed=range(3)"))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda model: model["rate"] > 0.8, "0.9"),
        (lambda model: model["rate"] < 0.2, "0.1"),
        (lambda model: model["units"] == 1, "1"),
        (lambda model: model["units"] == 8, "8"),
    ],
)
def test_an_end_of_a_space_that_no_trial_can_have_is_refused(
    composed: Compose, impossible: Check, wrong: Callable[[dict[str, Any]], bool], named: str
) -> None:
    impossible(wrong)
    with pytest.raises(UserError, match=rf"\Athe search: .*{named}[,}}]"):
        check_ends(composed(), parse([RATE, UNITS]))


def test_ends_that_are_impossible_together_are_not_refused(composed: Compose, impossible: Check) -> None:
    asked = impossible(lambda model: model["rate"] > 0.5 and model["units"] > 4)
    check_ends(composed(), parse([RATE, UNITS]))
    corners = {(model["rate"], model["units"]) for model in asked}
    assert corners == {(0.1, 1), (0.1, 8), (0.9, 1), (0.9, 8)}


def test_each_category_is_tried(composed: Compose, impossible: Check) -> None:
    impossible(lambda model: model["type"] == "odd")
    config = composed()
    with pytest.raises(UserError, match="odd"):
        check_ends(config, parse(["model.type=plain,odd,other", RATE]))
    check_ends(config, parse(["model.type=plain,other", RATE]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.unit=1,2"], "Could not override 'model.unit'"),
        (["model.units=1.5,2"], "the search: model.units = 1.5 is impossible"),
        (["model.units=interval(1,9)"], "input should be a valid integer, as of int(interval(...))"),
        (["model.units=text,2"], "the search: model.units = 'text' is impossible"),
        (["model=a,b"], "model"),
    ],
)
def test_errors_of_hydra_and_of_the_project_become_one_line(
    composed: Compose, overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        check_ends(composed(), parse(overrides))
    (line,) = str(caught.value).splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hydra/launcher=basic", "hydra.sweeper.workers=2"], "hydra.sweeper.workers = 2: the launcher"),
        (["hydra.launcher.n_jobs=3", "hydra.sweeper.workers=2"], "hydra.launcher.n_jobs = 3 has no effect"),
    ],
)
def test_workers_that_the_launcher_can_not_have_are_refused(
    composed: Compose, overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check(composed(*overrides))


@pytest.mark.parametrize(
    ("glob", "options"), [("*", ["deep", "plain"]), ("d*", ["deep"]), ("*, exclude=d*", ["plain"])]
)
def test_a_glob_is_a_choice_of_the_options_of_its_group(
    composed: Compose, tmp_path: Path, glob: str, options: list[str]
) -> None:
    (tmp_path / "conf/model").mkdir()
    for name in ("plain", "deep"):
        (tmp_path / f"conf/model/{name}.yaml").touch()
    composed()
    assert parse([f"model=glob({glob})"]).ends() == {"model": options}


def test_another_search_in_the_folder_is_refused_before_anything_is_written(composed: Compose, tmp_path: Path) -> None:
    folder = tmp_path / "sweeps"
    folder.mkdir()
    search(folder, [RATE, UNITS]).ask()
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match="has another search, whose n_warmup_epochs differs"):
        check(composed(UNITS, "hydra.sweeper.n_startup_trials=2"))
    check(composed(UNITS, "hydra.sweeper.n_startup_trials=2", "hydra.sweeper.n_warmup_epochs=0"))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
