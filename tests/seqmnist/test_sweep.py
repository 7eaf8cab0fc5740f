import shutil
from pathlib import Path

import pytest

from accord.errors import UserError
from accord.sweep import app
from accord.sweep.processes import DRIVER

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


def test_a_callback_of_an_earlier_version_is_refused_with_the_one_to_write(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = root / "conf/sweep.yaml"
    sweep.write_text(sweep.read_text().replace("accord.sweep.sweep_run.SweepRun", FORMER))
    monkeypatch.setattr("sys.argv", ["seqmnist.sweep", "-m", "seed=1,2"])
    with pytest.raises(UserError) as told:
        app.main()
    (line,) = str(told.value).splitlines()
    assert line.startswith(f"hydra.callbacks.parent._target_ = {FORMER}: ")
    assert "accord.sweep.sweep_run.SweepRun" in line
