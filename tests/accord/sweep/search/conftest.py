import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.types import RunMode
from omegaconf import DictConfig

from accord.sweep.search.settings import TARGET
from accord.sweep.search.sweeper import register

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

Compose = Callable[..., DictConfig]


@pytest.fixture(scope="module", autouse=True)
def _no_waiting_for_disks() -> Iterator[None]:
    """Skip fsync of the journal, since no test depends on a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _handle: None)
        yield


@pytest.fixture
def hydra(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Bring Hydra into its state before the sweeper is registered."""
    state = Singleton.get_state()
    own = ("hydra_plugins.", "hydra._internal.core_plugins.")
    original = staticmethod(lambda name: name.startswith(own))  # Hydra's own check of a plugin's class
    monkeypatch.setattr(Plugins, "is_in_toplevel_plugins_module", original)
    monkeypatch.delitem(Plugins.instance().class_name_to_class, TARGET, raising=False)
    yield
    Singleton.set_state(state)


@pytest.fixture
def composed(hydra: None, flat: object, tmp_path: Path) -> Iterator[Compose]:
    """Yield a function that composes the configuration of a search, in a project that trains a single model."""
    del hydra, flat
    register()
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/sweep.yaml").write_text(SWEEP)
    with initialize_config_dir(str(tmp_path / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        yield lambda *overrides: loader.load_configuration("sweep", list(overrides), RunMode.MULTIRUN)
