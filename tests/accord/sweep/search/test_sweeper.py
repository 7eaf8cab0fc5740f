from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.callbacks import Callbacks
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState

from accord.errors import UserError
from accord.sweep.search import sweeper as module
from accord.sweep.search import trials
from accord.sweep.search.settings import TARGET, SearchSettings, defaults
from accord.sweep.search.sweeper import OptunaSweeper, register
from tests.accord.sweep.search.simulated import Curve, end, prepare, search, smooth

Compose = Callable[..., DictConfig]
RATE, UNITS = "model.rate=interval(0.1, 0.9)", "model.units=range(1, 9)"


def sweeper_of(config: DictConfig) -> OptunaSweeper:
    """Return the sweeper as Hydra sets it up."""
    context = HydraContext(config_loader=GlobalHydra.instance().config_loader(), callbacks=Callbacks())
    found = Plugins.instance().instantiate_sweeper(config=config, hydra_context=context, task_function=print)
    assert isinstance(found, OptunaSweeper)
    return found


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


class Clock:
    """Clock whose time passes only where a test moves it."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_no_trial_starts_after_the_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    found = search(tmp_path, n_trials=5)
    sweeper = OptunaSweeper()
    sweeper._config = OmegaConf.create({"hydra": {"sweep": {"dir": "a sweep"}}})
    numbers = sweeper._numbers(found, SearchSettings(n_trials=5, timeout=10.0))
    assert next(numbers) == 0
    clock.now += 9.5
    assert next(numbers) == 1
    clock.now += 0.5
    assert list(numbers) == []
    assert len(found.trials) == 2
    assert capsys.readouterr().out == (
        "10 seconds are over, and 2 of 5 trials were started: `seqmnist resume 'a sweep'` goes on\n"
    )


def test_unfinished_trials_come_first_and_then_new_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    """Launcher whose trials end at once; those of some numbers fail."""

    sweep: Path
    found: Any
    fails: Sequence[int] = ()
    curves: Sequence[Curve] = ()  # by number
    batches: list[tuple[int, list[Any]]] = field(default_factory=list)

    def launch(self, job_overrides: list[Any], initial_job_idx: int) -> list[JobReturn]:
        self.batches.append((initial_job_idx, job_overrides))
        for number in range(initial_job_idx, initial_job_idx + len(job_overrides)):
            folder = prepare(self.sweep, self.found, number)
            if number not in self.fails:
                end(folder, self.curves[number] if self.curves else smooth(self.found.trials[number]))
        return [JobReturn(status=JobStatus.COMPLETED) for _ in job_overrides]


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


def test_an_exception_of_a_job_ends_the_search(tmp_path: Path) -> None:
    class Launcher(FakeLauncher):
        def launch(self, job_overrides: list[Any], initial_job_idx: int) -> list[JobReturn]:
            done, *_ = super().launch(job_overrides, initial_job_idx)
            return [done, JobReturn(status=JobStatus.FAILED, _return_value=UserError("the node is gone"))]

    found = search(tmp_path, n_trials=2)
    launcher: Any = Launcher(tmp_path, found)
    numbers = OptunaSweeper()._numbers(found, SearchSettings(n_trials=2))
    with pytest.raises(UserError, match="the node is gone"):
        trials.run_in_batches(found, numbers, 2, launcher)


def test_no_trial_is_compared_with_others_of_its_batch(tmp_path: Path) -> None:
    found = search(tmp_path, n_trials=4, n_startup_trials=0, n_warmup_epochs=0)
    launcher: Any = FakeLauncher(tmp_path, found, curves=[[0.5], [0.6], [0.7], [0.57]])
    numbers = OptunaSweeper()._numbers(found, SearchSettings())
    for workers in (1, 1, 2):
        trials.run_in_batches(found, islice(numbers, workers), workers, launcher)
    assert [one.state for one in found.trials] == [TrialState.COMPLETE] * 4, "0.57 is above the median of two"


def test_a_search_runs_its_trials_by_the_launcher_and_runs_none_again(
    composed: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[list[Any]] = []

    class Launcher:
        def launch(self, job_overrides: list[Any], initial_job_idx: int) -> list[JobReturn]:
            launched.extend(job_overrides)
            folder = tmp_path / "sweeps" / str(initial_job_idx)
            folder.mkdir()
            (folder / "params.yaml").write_text(str(job_overrides))
            end(folder, [0.5, 0.6])
            return [JobReturn(status=JobStatus.COMPLETED)]

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
