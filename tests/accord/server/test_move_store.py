"""Checks that `move-store` makes before it connects to a server; tests/cluster moves a store to PostgreSQL."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from accord.errors import UserError
from accord.server.move_store import _reader, move_store
from accord.settings import Tracking
from accord.tracking.relocation import follow
from accord.tracking.store import open_store

TARGET = "postgresql://mlflow@127.0.0.1:1/mlflow"


@pytest.mark.parametrize("destination", ["artifacts", "./artifacts", "~/artifacts", ""])
def test_a_relative_artifacts_folder_is_refused(
    destination: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mlflow.db").touch()

    with pytest.raises(UserError, match=r"ARTIFACTS must be an absolute folder or s3://BUCKET/FOLDER, not "):
        move_store(Path("mlflow.db"), TARGET, destination)

    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


@pytest.mark.usefixtures("no_store")
@pytest.mark.parametrize("name", ["My Disk", "100%25", "qu?estion #2", "müller"])
def test_a_moved_store_below_any_path_is_read_and_its_addresses_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tracking = Tracking(uri=None, experiment="seqmnist")
    (tmp_path / "before").mkdir()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # other tests set it by `mlflow.set_tracking_uri`
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "before"))
    open_store(tracking)
    root = (tmp_path / "before").rename(tmp_path / name)

    with _reader(root / "mlflow.db").connect() as store:
        version = store.execute(text("SELECT version_num FROM alembic_version")).scalar()
        follow(root / "mlflow.db")  # while the reader is open
        places = store.execute(text("SELECT artifact_location FROM experiments")).scalars().all()
        with pytest.raises(OperationalError, match="readonly"):
            store.execute(text("DELETE FROM experiments"))

    assert version
    assert (root / "mlartifacts").as_uri() in places
    assert [path.name for path in tmp_path.iterdir()] == [name]
