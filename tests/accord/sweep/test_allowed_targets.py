import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal import hydra as application
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from accord.errors import UserError
from accord.sweep import app
from accord.sweep.allowed_targets import Refused, checked, forbidden
from accord.sweep.processes import DRIVER
from accord.sweep.search import sweeper

CONF = Path(__file__).parents[3] / "conf"


sweeper.register()


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("sweep", overrides=list(overrides), return_hydra_config=True)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["search=optuna"],
        ["hydra/sweeper=optuna", "hydra.sweeper.sampler=random"],
        ["hydra/launcher=basic"],
        ["hydra/job_logging=default", "hydra/hydra_logging=default"],
        ["hydra/job_logging=disabled", "hydra/hydra_logging=disabled"],
        ["+hydra.callbacks.log._target_=hydra.experimental.callbacks.LogJobReturnCallback"],
        ["+hydra.launcher.more._target_=hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"],
        ["+hydra.job.env_set.CUDA_VISIBLE_DEVICES='0'"],
        ["+hydra.launcher.setup=null", "+hydra.launcher.partition=all", "+hydra.launcher.comment='of a team'"],
        ["+hydra.launcher.ray.init.address=head:6379", "+hydra.launcher.ray.init.resources.big=1"],
        ["+hydra.launcher.ray.remote.num_cpus=2", "+hydra.launcher.ray.remote.max_retries=-1"],
    ],
    ids=" ".join,
)
def test_a_sweep_may_call_what_it_needs(overrides: list[str]) -> None:
    assert forbidden(composed(*overrides)) is None


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("+hydra.callbacks.evil={_target_: os.system, command: x}", "hydra.callbacks.evil._target_ = os.system"),
        ("hydra.callbacks.parent._target_=builtins.eval", "hydra.callbacks.parent._target_ = builtins.eval"),
        ("hydra.callbacks.parent._target_=accord.sweep.sweep_run.SweepRun.close", "hydra.callbacks.parent._target_"),
        ("+hydra.callbacks.parent.deep=[1, {_target_: os.system}]", "hydra.callbacks.parent.deep.1._target_"),
        ("hydra.launcher._target_=subprocess.Popen", "hydra.launcher._target_ = subprocess.Popen"),
        ("hydra.launcher._target_=hydra_plugins.evil", "hydra.launcher._target_ = hydra_plugins.evil"),
        ("hydra.launcher._target_=optuna.samplers.TPESampler", "hydra.launcher._target_ = optuna"),
        ("+hydra.launcher.more._target_=hydra_plugins.a.os.system", "hydra.launcher.more._target_"),
        ("hydra.launcher._target_=hydra_plugins.hydra_ray_launcher.ray_aws_launcher.RayAWSLauncher", "hydra.launcher"),
        ("+hydra.launcher.ray.init.runtime_env.pip=[evil]", "hydra.launcher.ray.init.runtime_env.pip.0 = evil"),
        ("+hydra.launcher.ray.init.job_config.code_search_path=[/tmp]", "hydra.launcher.ray.init.job_config"),
        ("+hydra.launcher.ray.init._system_config.x=1", "hydra.launcher.ray.init._system_config.x = 1"),
        ("+hydra.launcher.ray.remote.runtime_env.py_executable=evil", "hydra.launcher.ray.remote.runtime_env.py_exec"),
        ("+hydra.launcher.ray.remote.runtime_env={container: {image: x}}", "hydra.launcher.ray.remote.runtime_env"),
        ("+hydra.launcher.setup=[evil]", "hydra.launcher.setup.0 = evil: Slurm would run this"),
        ("+hydra.launcher.additional_parameters={prolog: evil}", "hydra.launcher.additional_parameters.prolog = evil"),
        ("hydra.sweeper._target_=hydra.utils.call", "hydra.sweeper._target_ = hydra.utils.call"),
        ("+hydra.sweeper.sampler._target_=optuna.samplers._base.os.system", "hydra.sweeper.sampler._target_"),
        ("+hydra.sweeper.custom_search_space=os.system", "hydra.sweeper.custom_search_space = os.system"),
        ("+hydra.hydra_logging.handlers.evil.class=subprocess.Popen", "hydra.hydra_logging.handlers.evil.class"),
        ("+hydra.job_logging.handlers.evil.stream=ext://os.environ", "hydra.job_logging.handlers.evil.stream"),
        ("+hydra.job.env_set.PYTHONPATH=/tmp", "hydra.job.env_set.PYTHONPATH = /tmp"),
        ("+hydra.job.env_set.LD_PRELOAD=/tmp/x.so", "hydra.job.env_set.LD_PRELOAD = /tmp/x.so"),
        ("+train._target_=os.system", "train._target_ = os.system"),
        ("+cell.train={deep: {_target_: os.system}}", "cell.train.deep._target_ = os.system"),
        ("+hydra.callbacks.evil='${oc.create:\"{_target_: os.system}\"}'", "hydra.callbacks.evil._target_ = os.system"),
        ("+hydra.callbacks.evil._target_=${oc.decode:os.system}", "hydra.callbacks.evil._target_ = os.system"),
    ],
    ids=str,
)  # fmt: skip
def test_any_other_call_is_refused_under_every_key(override: str, key: str) -> None:
    said = forbidden(composed(override))
    assert said is not None
    assert said.startswith(key)
    assert len(said.splitlines()) == 1


def test_logging_calls_no_factory() -> None:
    config = composed()
    OmegaConf.update(config, "hydra.job_logging.handlers", {"evil": {"()": "os.system"}}, force_add=True)
    assert str(forbidden(config)).startswith("hydra.job_logging.handlers.evil.() = os.system: ")


def test_a_configuration_that_refers_to_itself_is_read_once() -> None:
    config = OmegaConf.create({"a": {"b": "${a}", "c": {"_target_": "os.system"}}, "missing": "???", "bad": "${none}"})
    assert str(forbidden(config)).startswith("a.c._target_ = os.system")


def test_trials_are_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["seqmnist.sweep"])
    with checked(), initialize_config_dir(str(CONF), version_base="1.3"):
        loader: Any = GlobalHydra.instance().config_loader()
        sweep = loader.load_configuration("sweep", ["seed=1,2"], run_mode=RunMode.MULTIRUN)
        assert loader.load_sweep_config(sweep, ["seed=2"]).seed == 2
        with pytest.raises(Refused, match=r"train\._target_ = os\.system"):
            loader.load_sweep_config(sweep, ["+train._target_=os.system"])
    assert application.ConfigLoaderImpl is not type(loader)  # type: ignore[attr-defined]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of a project that has only a link to conf/."""
    (tmp_path / "conf").symlink_to(CONF)
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DRIVER, "")  # removed after the test
    return tmp_path


MARK = "_target_: pathlib.Path.touch, self: {_target_: pathlib.Path, _args_: [marker]}"


@pytest.mark.parametrize("multirun", [[], ["-m"]], ids=["one trial", "sweep"])
def test_the_command_refuses_a_forbidden_call_before_it_calls_anything(
    root: Path, monkeypatch: pytest.MonkeyPatch, multirun: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["seqmnist.sweep", *multirun, f"+hydra.callbacks.evil={{{MARK}}}"])
    with pytest.raises(UserError, match=r"\Ahydra\.callbacks\.evil\._target_ = pathlib\.Path\.touch: [^\n]+\Z"):
        app.main()
    assert sorted(path.name for path in root.iterdir()) == [".dvc", "conf"]


def test_a_group_from_elsewhere_is_checked_too(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "other" / "search"
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text(f"# @package _global_\nhydra: {{callbacks: {{evil: {{{MARK}}}}}}}\n")
    monkeypatch.setattr(sys, "argv", ["seqmnist.sweep", "-m", "--config-dir", "other", "search=evil", "seed=1,2"])
    with pytest.raises(UserError, match=r"hydra\.callbacks\.evil\._target_ = pathlib\.Path\.touch"):
        app.main()
    assert not (root / "marker").exists()


@pytest.mark.parametrize("option", ["--experimental-rerun", "--experimental"])
def test_a_pickled_run_is_not_run_again(root: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    (root / "config.pickle").write_bytes(b"cpathlib\nPosixPath.touch\n(cpathlib\nPosixPath\n(Vmarker\ntRtR.")
    monkeypatch.setattr(sys, "argv", ["seqmnist.sweep", option, "config.pickle"])
    with pytest.raises(UserError, match="reads a pickle"):
        app.main()
    assert not (root / "marker").exists()


def test_a_launcher_value_with_a_line_break_is_refused() -> None:
    config = OmegaConf.create({"hydra": {"launcher": {"comment": "a\nevil"}}})
    assert str(forbidden(config)).startswith("hydra.launcher.comment = 'a\\nevil': ")
