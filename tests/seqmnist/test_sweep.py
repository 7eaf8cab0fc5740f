"""What names the modules that sweeps had before they were accord's: jobs that wait in Slurm, and files of users.

job_of_before.pkl.zlib is such a job of one trial, as Hydra's launchers pickle it: the bound method of a launcher with
its configuration, loader, callbacks and task function. Commit a1e15dc made it from conf/ with cell=rnn.
"""

import pickle
import shutil
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.utils import create_config_search_path
from hydra.core.singleton import Singleton

from accord.errors import UserError
from accord.files import sha256_file
from accord.sweep import app, job
from accord.sweep.allowed_targets import CheckedLoader
from accord.sweep.folders import Result, SweepRequest, TrialSettings
from accord.sweep.processes import DRIVER
from accord.sweep.sweep_run import SweepRun

ROOT = Path(__file__).parents[2]
FORMER = "seqmnist.sweep.parent.ParentRun"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with conf/ alone."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCORD_PROJECT", "seqmnist.project:PROJECT")
    monkeypatch.setenv(DRIVER, "")  # so that it is removed afterwards
    return tmp_path


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="Slurm's job holds byte code of Python 3.11")
def test_a_job_of_before_runs(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def process(folder: Path, *_: Any) -> int:
        Result("FINISHED", sha256_file(folder / "params.yaml"), 0.75, 3).write(folder)
        return 0

    monkeypatch.setattr(job, "_process", process)
    SweepRequest(["cell=rnn", "seed=7,8"], [], {"uri": None, "experiment": "sweeps"}).write(root / "sweeps/one")
    launch = pickle.loads(zlib.decompress((Path(__file__).parent / "job_of_before.pkl.zlib").read_bytes()))

    launcher = launch.__self__
    loader, (callback,) = launcher.hydra_context.config_loader, launcher.hydra_context.callbacks.callbacks
    assert (type(loader), type(callback), launcher.task_function) == (CheckedLoader, SweepRun, job.run_trial)
    loader.__init__(create_config_search_path(str(root / "conf")))
    state = Singleton.get_state()
    try:
        (done,) = launch([["cell=rnn", "seed=8"]], initial_job_idx=1)
    finally:
        Singleton.set_state(state)

    assert done.return_value == 0.75
    assert TrialSettings.read(root / "sweeps/one/1").name == "rnn seed=8"
    assert "#1 rnn seed=8: validation accuracy 0.7500 (epoch 3)" in capsys.readouterr().out


def test_a_callback_of_before_is_refused_with_the_one_to_write(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = root / "conf/sweep.yaml"
    sweep.write_text(sweep.read_text().replace("accord.sweep.sweep_run.SweepRun", FORMER))
    monkeypatch.setattr("sys.argv", ["seqmnist.sweep", "-m", "seed=1,2"])
    with pytest.raises(UserError) as told:
        app.main()
    (line,) = str(told.value).splitlines()
    assert line.startswith(f"hydra.callbacks.parent._target_ = {FORMER}: ")
    assert "accord.sweep.sweep_run.SweepRun" in line
