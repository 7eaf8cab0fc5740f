import os
from pathlib import Path

import pytest

from seqmnist.sweep import parcels, places
from seqmnist.sweep.depot import Supplies
from seqmnist.sweep.processes import DRIVER

FILES = {"test.npz": b"digits", "more/train.npz": b"many digits"}


def test_inputs_are_fetched_once_and_again_where_they_are_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def answer(reference: str) -> dict[str, bytes]:
        fetched.append(reference)
        return FILES

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(places, "_answer", answer)
    supplies = Supplies("/a sweep", {}, parcels.digest(FILES), ["a reference"])

    folder = places._inputs(supplies)

    assert folder == tmp_path / "seqmnist" / "splits" / supplies.digest
    assert parcels.pack(folder, FILES) == FILES
    assert places._inputs(supplies) == folder
    assert fetched == ["a reference"]
    (folder / "test.npz").write_bytes(b"dogits")
    places._inputs(supplies)
    assert parcels.pack(folder, FILES) == FILES
    assert fetched == ["a reference"] * 2


def test_a_node_uses_the_store_and_project_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"MLFLOW_TRACKING_TOKEN": "old", DRIVER: "host 1", "HOME": "/root"})
    places._set_environment({"MLFLOW_TRACKING_URI": "http://server", "SEQMNIST_PROJECT": "my:PROJECT"})
    assert os.environ == {
        "HOME": "/root",
        "MLFLOW_TRACKING_URI": "http://server",
        "SEQMNIST_PROJECT": "my:PROJECT",
    }
