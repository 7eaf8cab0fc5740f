"""What a move refuses before it asks a server; tests/cluster moves a store to PostgreSQL."""

from pathlib import Path

import pytest

from seqmnist.errors import UserError
from seqmnist.tracking.moving import move_store

TARGET = "postgresql://mlflow@127.0.0.1:1/mlflow"


@pytest.mark.parametrize("destination", ["artifacts", "./artifacts", "~/artifacts", ""])
def test_a_folder_that_a_server_elsewhere_would_not_find_is_refused(
    destination: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mlflow.db").touch()

    with pytest.raises(UserError, match=r"ARTIFACTS must be an absolute folder or s3://BUCKET/FOLDER, not "):
        move_store(Path("mlflow.db"), TARGET, destination)

    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
