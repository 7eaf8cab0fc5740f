from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from accord.errors import UserError
from accord.sweep.search import sweeper as module
from accord.sweep.search import trials
from accord.sweep.search.settings import TARGET, SearchSettings, defaults
from accord.sweep.search.spaces import parse
from accord.sweep.search.sweeper import OptunaSweeper, check, register
from tests.accord.sweep.search.simulated import end, prepare, search, smooth

SWEEP = """
defaults:
  - override hydra/sweeper: optuna
  - override hydra/launcher: joblib
  - _self_
data: {points: 3}
model: {type: plain, rate: 0.1, units: 4}
train: {epochs: 2}
seed: 1
hydra:
  sweep: {dir: sweeps}
  sweeper:
    params:
      model.rate: interval(0.1, 0.9)
"""
RATE, UNITS = "model.rate=interval(0.1, 0.9)", "model.units=range(1, 9)"

Compose = Callable[..., DictConfig]
Check = Callable[[Callable[[dict[str, Any]], bool]], list[dict[str, Any]]]


@pytest.fixture
def hydra(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hydra as it is before the sweeper is registered."""
    state = Singleton.get_state()
    own = ("hydra_plugins.", "hydra._internal.core_plugins.")
    original = staticmethod(lambda name: name.startswith(own))  # what Hydra says of a plugin's class
    monkeypatch.setattr(Plugins, "is_in_toplevel_plugins_module", original)
    monkeypatch.delitem(Plugins.instance().class_name_to_class, TARGET, raising=False)
    yield
    Singleton.set_state(state)


@pytest.fixture
def composed(hydra: None, flat: object, tmp_path: Path) -> Iterator[Compose]:
    """Composes the configuration of a search, in a project that trains one model alone."""
    del hydra, flat
    register()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/sweep.yaml").write_text(SWEEP)
    with initialize_config_dir(str(tmp_path / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        yield lambda *overrides: loader.load_configuration("sweep", list(overrides), RunMode.MULTIRUN)


def sweeper_of(config: DictConfig) -> OptunaSweeper:
    """The sweeper as Hydra sets it up."""
    context = HydraContext(config_loader=GlobalHydra.instance().config_loader(), callbacks=Callbacks())
    found = Plugins.instance().instantiate_sweeper(config=config, hydra_context=context, task_function=print)
    assert isinstance(found, OptunaSweeper)
    return found


@pytest.fixture
def impossible(monkeypatch: pytest.MonkeyPatch) -> Check:
    """Gives the project a rule of what is impossible; returns the values that it is asked for."""

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


def test_hydra_knows_the_sweeper_once_it_is_registered(composed: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed()
    assert config.hydra.sweeper._target_ == TARGET == f"{OptunaSweeper.__module__}.{OptunaSweeper.__name__}"
    assert {**config.hydra.sweeper, "params": None} == defaults()
    assert sweeper_of(config)._config == config
    register()
    assert sweeper_of(config)._config == config, "twice is no harm"
    monkeypatch.setattr(Plugins, "is_in_toplevel_plugins_module", staticmethod(lambda _name: False))
    with pytest.raises(RuntimeError, match="not the hydra_plugins package"):
        sweeper_of(config)


def test_hydra_takes_no_other_class_from_outside_for_a_plugin(hydra: None) -> None:
    del hydra
    assert not Plugins.is_in_toplevel_plugins_module(TARGET)
    register()
    assert Plugins.is_in_toplevel_plugins_module(TARGET)
    assert Plugins.is_in_toplevel_plugins_module("hydra_plugins.other.Launcher")
    assert Plugins.is_in_toplevel_plugins_module("hydra._internal.core_plugins.basic_launcher.BasicLauncher")
    assert not Plugins.is_in_toplevel_plugins_module(f"{TARGET}2")
    assert not Plugins.is_in_toplevel_plugins_module("os.system")
    assert ConfigStore.instance().load("hydra/sweeper/optuna.yaml").provider == "accord"


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("verbose", "5", "5"),
        ("backend", "threading", "threading"),
        ("batch_size", "7", "7"),
        ("pre_dispatch", "all", "all"),
    ],
)
def test_an_option_of_joblib_without_effect_is_refused(composed: Compose, key: str, value: str, text: str) -> None:
    with pytest.raises(UserError) as caught:
        check(composed(f"hydra.launcher.{key}={value}"))
    assert str(caught.value) == f"hydra.launcher.{key} = {text} has no effect in a search"


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
        sweeper_of(composed())._refuse_impossible(parse([RATE, UNITS]))


def test_ends_that_are_impossible_together_are_not_refused(composed: Compose, impossible: Check) -> None:
    asked = impossible(lambda model: model["rate"] > 0.5 and model["units"] > 4)
    sweeper_of(composed())._refuse_impossible(parse([RATE, UNITS]))
    corners = {(model["rate"], model["units"]) for model in asked}
    assert corners == {(0.1, 1), (0.1, 8), (0.9, 1), (0.9, 8)}


def test_each_category_is_tried(composed: Compose, impossible: Check) -> None:
    impossible(lambda model: model["type"] == "odd")
    sweeper = sweeper_of(composed())
    with pytest.raises(UserError, match="odd"):
        sweeper._refuse_impossible(parse(["model.type=plain,odd,other", RATE]))
    sweeper._refuse_impossible(parse(["model.type=plain,other", RATE]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.unit=1,2"], "Could not override 'model.unit'"),
        (["model.units=1.5,2"], "the search: model.units = 1.5 is impossible"),
        (["model.units=text,2"], "the search: model.units = 'text' is impossible"),
        (["model=a,b"], "model"),
    ],
)
def test_what_hydra_or_the_project_refuse_is_told_in_a_line(
    composed: Compose, overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        sweeper_of(composed())._refuse_impossible(parse(overrides))
    (line,) = str(caught.value).splitlines()
    assert message in line


class Clock:
    """Seconds that pass where a test says so."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_no_trial_starts_after_the_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    found = search(tmp_path, n_trials=5)
    numbers = OptunaSweeper()._numbers(found, SearchSettings(n_trials=5, timeout=10.0))
    assert next(numbers) == 0
    clock.now += 9.5
    assert next(numbers) == 1
    clock.now += 0.5
    assert list(numbers) == []
    assert len(found.trials) == 2
    assert capsys.readouterr().out == "10 seconds are over: 2 of 5 trials were started\n"


def test_trials_without_an_end_come_first_and_then_those_that_are_lacking(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = search(tmp_path, n_trials=5)
    for _ in range(3):
        found.ask()
    end(prepare(tmp_path, found, 1), [0.5])
    found.tell(1)
    again = search(tmp_path, n_trials=5)
    assert list(OptunaSweeper()._numbers(again, SearchSettings(n_trials=5))) == [0, 2, 3, 4]
    assert list(OptunaSweeper()._numbers(again, SearchSettings(n_trials=5))) == [0, 2, 3, 4]
    assert capsys.readouterr().out == ""


@dataclass
class FakeLauncher:
    """A launcher whose trials are over at once; those of some numbers fail."""

    sweep: Path
    found: Any
    fails: Sequence[int] = ()
    batches: list[tuple[int, list[Any]]] = field(default_factory=list)

    def launch(self, job_overrides: list[Any], initial_job_idx: int) -> None:
        self.batches.append((initial_job_idx, job_overrides))
        for number in range(initial_job_idx, initial_job_idx + len(job_overrides)):
            folder = prepare(self.sweep, self.found, number)
            if number not in self.fails:
                end(folder, smooth(self.found.trials[number]))


def test_batches_have_as_many_trials_as_workers_and_keep_their_numbers(tmp_path: Path) -> None:
    found = search(tmp_path, n_trials=7, pruner="none")
    launcher: Any = FakeLauncher(tmp_path, found, fails=[1, 2, 5])
    trials.run_in_batches(found, OptunaSweeper()._numbers(found, SearchSettings(n_trials=7)), 3, launcher)
    assert [(first, len(batch)) for first, batch in launcher.batches] == [(0, 3), (3, 3), (6, 1)]
    assert [batch for _, batch in launcher.batches][1] == [found.overrides(number) for number in (3, 4, 5)]
    assert found.unfinished() == [1, 2, 5]
    launcher = FakeLauncher(tmp_path, found)
    trials.run_in_batches(found, OptunaSweeper()._numbers(found, SearchSettings(n_trials=7)), 3, launcher)
    assert [(first, len(batch)) for first, batch in launcher.batches] == [(1, 2), (5, 1)]
    assert found.unfinished() == []


def test_a_search_runs_its_trials_by_the_launcher_and_runs_none_again(
    composed: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[list[Any]] = []

    class Launcher:
        def launch(self, job_overrides: list[Any], initial_job_idx: int) -> None:
            launched.extend(job_overrides)
            folder = tmp_path / "sweeps" / str(initial_job_idx)
            folder.mkdir()
            (folder / "params.yaml").write_text(str(job_overrides))
            end(folder, [0.5, 0.6])

    plugins = Plugins.instance()
    monkeypatch.setattr(plugins, "instantiate_launcher", lambda **_: Launcher())
    config = composed("hydra/launcher=basic", "hydra.sweeper.n_trials=3", UNITS.replace(" ", ""))
    (tmp_path / "sweeps").mkdir()
    for _ in range(2):
        sweeper_of(config).sweep([UNITS, "seed=7"])
        assert len(launched) == 3
    for overrides in launched:
        assert [one.partition("=")[0] for one in overrides] == ["seed", "model.rate", "model.units"]
        assert overrides[0] == "seed=7"
