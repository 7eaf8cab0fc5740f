import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from accord.errors import UserError
from accord.sweep import app, effect
from accord.sweep.processes import DRIVER

CONF = Path(__file__).parents[3] / "conf"
SHADOWED = "train.epochs = 3 has no effect on lstm, whose own train sets it: set cell.train.epochs"


def composed(folder: Path, *overrides: str) -> Any:
    with initialize_config_dir(str(folder), version_base="1.3"):
        return compose("sweep", overrides=list(overrides), return_hydra_config=True)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of a project that has only a copy of conf/."""
    shutil.copytree(CONF, tmp_path / "conf")
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DRIVER, "")  # removed after the test
    return tmp_path


def plain(*overrides: str) -> Any:
    """Return the plain values of a composed trial."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("sweep", overrides=list(overrides)), resolve=True)


def search(root: Path, text: str) -> None:
    (root / "conf/search/mine.yaml").write_text(f"# @package _global_\n{text}")


FILE = """
defaults:
  - override /hydra/launcher: basic
  - override /tracking: server
  - override /cell: rnn
seed: 7
cell: {units: 9}
tracking: {experiment: mine}
hydra:
  sweep: {dir: elsewhere}
  sweeper: {max_batch_size: 3}
"""


def test_values_of_a_search_win_over_those_of_the_sweep(root: Path) -> None:
    search(root, FILE)
    config = composed(root / "conf", "search=mine")
    assert (config.seed, config.cell.type, config.cell.units) == (7, "rnn", 9)
    assert (config.tracking.experiment, config.tracking.uri) == ("mine", "http://127.0.0.1:5000")
    assert (config.hydra.sweep.dir, config.hydra.sweeper.max_batch_size) == ("elsewhere", 3)
    assert config.hydra.launcher._target_.endswith(".BasicLauncher")
    assert config.hydra.runtime.choices["hydra/job_logging"] == "none"


def test_the_command_line_wins_over_a_search(root: Path) -> None:
    search(root, FILE)
    overrides = ["seed=3", "cell=gru", "tracking.experiment=other", "hydra/launcher=joblib", "hydra.sweep.dir=here"]
    config = composed(root / "conf", "search=mine", *overrides)
    assert (config.seed, config.cell.type, config.cell.units) == (3, "gru", 9)
    assert (config.tracking.experiment, config.hydra.sweep.dir) == ("other", "here")
    assert config.hydra.launcher._target_.endswith(".JoblibLauncher")


def test_values_of_a_search_are_overrides_without_hydras_own(root: Path) -> None:
    search(root, FILE.replace("cell: {units: 9}", "cell: {units: 9}\ntrain: {shift: 2, clip_norm: null}"))
    values = effect.values_of_search(composed(root / "conf", "search=mine").hydra)
    assert values == ["seed=7", "cell.units=9", "train.shift=2", "train.clip_norm=None", "tracking.experiment=mine"]
    search(root, "defaults: [override /cell: rnn]\n")
    assert effect.values_of_search(composed(root / "conf", "search=mine").hydra) == []
    assert effect.values_of_search(composed(root / "conf").hydra) == []


@pytest.mark.parametrize("multirun", [[], ["-m"]], ids=["one trial", "sweep"])
@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["+experiment=notebook"], "`dvc exp run -S experiment=notebook`"),
        (["+experiment=evidence", "seed=1"], "`dvc exp run -S experiment=evidence`"),
        (["+cells.rnn.units=3"], "unknown or missing keys: cells; a trial has only cell, "),
        (["~seed"], "unknown or missing keys: seed; "),
        (["~cell.type"], "cell has no key `type`: add `type: <file's name>` to each file of conf/cell"),
        (["--config-name", "config"], "keys: cell, cells, seed, seeds, workers; "),
        (["tracking.experiment=${oc.env:HOME}"], "tracking.experiment: the environment's HOME"),
        (["train.epochs=${now:%j}"], "train.epochs: ${now:%j} gives another value"),
        (["seed=${hydra:job.num}"], "seed: ${hydra:job.num} gives another value"),
        (["train.epochs=${nothing}"], "train.epochs: Interpolation key 'nothing' not found"),
        (["search=broken"], "broken.yaml"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, list) else "",
)
def test_an_impossible_trial_is_refused_in_one_line_before_any_runs(
    root: Path, monkeypatch: pytest.MonkeyPatch, multirun: list[str], overrides: list[str], told: str
) -> None:
    (root / "conf/search/broken.yaml").write_text("# @package _global_\ntrain: [1\nnull: {\n")
    monkeypatch.setattr(sys, "argv", ["seqmnist.sweep", *multirun, *overrides])
    with pytest.raises(UserError) as caught:
        app.main()
    (line,) = str(caught.value).splitlines()
    assert told in line
    assert sorted(path.name for path in root.iterdir()) == [".dvc", "conf"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["search=optuna"], "search=optuna has no effect without -m"),
        (["hydra/launcher=basic"], "hydra/launcher=basic has no effect without -m"),
        (["hydra.launcher.n_jobs=3", "seed=1"], "hydra.launcher.n_jobs=3 has no effect without -m"),
        (["hydra.sweep.dir=x"], "hydra.sweep.dir=x has no effect without -m"),
        (["-m", "hydra.run.dir=x", "seed=1,2"], "hydra.run.dir=x has no effect with -m"),
    ],
)
def test_a_setting_without_effect_in_this_mode_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["seqmnist.sweep", *arguments])
    with pytest.raises(UserError) as caught:
        app.main()
    assert told in str(caught.value)
    assert sorted(path.name for path in root.iterdir()) == [".dvc", "conf"]


def test_an_override_may_have_a_value_that_only_a_trial_has(root: Path) -> None:
    folder = "hydra.sweep.dir='${oc.env:TMPDIR,/tmp}/key-${hydra.job.num}'"
    config = composed(root / "conf", "hydra.mode=MULTIRUN")
    config.hydra.overrides.hydra.append(folder)
    assert effect.ineffective(config) is None


def test_a_launcher_and_a_folder_may_have_values_of_the_environment(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH", "somewhere")
    config = composed(root / "conf", "hydra.sweep.dir=${oc.env:SCRATCH}/${now:%Y}", "train.batch_size=${train.epochs}")
    assert effect.ineffective(config) is None
    assert config.hydra.sweep.dir.startswith("somewhere/2")


@pytest.mark.parametrize("overrides", [["train.epochs=3"], ["cell=lstm", "+train.epochs=3", "train.batch_size=5"]])
def test_a_value_that_the_cell_replaces_is_refused(overrides: list[str]) -> None:
    assert effect.replaced_value(plain("+cell.train.epochs=2"), overrides) == SHADOWED


@pytest.mark.parametrize("overrides", [["train.batch_size=5"], ["cell.train.epochs=3"], ["train=notebook"], ["seed=1"]])
def test_values_that_have_an_effect_are_not_refused(overrides: list[str]) -> None:
    assert effect.replaced_value(plain("+cell.train.epochs=2"), overrides) is None
    assert effect.replaced_value(plain(), [*overrides, "train.epochs=3"]) is None


def test_values_of_a_search_are_checked_like_overrides() -> None:
    values = plain("+cell.train={epochs: 1, shift: 1}")
    searched = ["seed=2", "train.epochs=3", "train.shift=2"]
    assert effect.replaced_value(values, ["seed=1"], searched) == SHADOWED
    assert str(effect.replaced_value(values, ["cell.train.epochs=1"], searched)).startswith(
        "train.shift = 2 has no effect"
    )
    assert effect.replaced_value(values, ["cell.train.epochs=1", "+cell.train.shift=1"], searched) is None
