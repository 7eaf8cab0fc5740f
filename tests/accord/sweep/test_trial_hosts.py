import os
from pathlib import Path

import pytest

from accord.sweep import trial_hosts
from accord.sweep.folders import SweepRequest
from accord.sweep.processes import DRIVER
from accord.sweep.ray import file_sync
from accord.sweep.ray.file_exchange import Supplies

FILES = {"test.npz": b"digits", "more/train.npz": b"many digits"}


def test_inputs_are_fetched_once_and_again_where_they_are_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def answer(reference: str) -> dict[str, bytes]:
        fetched.append(reference)
        return FILES

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(trial_hosts, "_answer", answer)
    supplies = Supplies("/a sweep", SweepRequest([], [], {}), {}, file_sync.digest(FILES), ["a reference"])

    folder = trial_hosts._inputs(supplies)

    assert folder == tmp_path / "accord" / "inputs" / supplies.digest
    assert file_sync.pack(folder, FILES) == FILES
    assert trial_hosts._inputs(supplies) == folder
    assert fetched == ["a reference"]
    (folder / "test.npz").write_bytes(b"dogits")
    trial_hosts._inputs(supplies)
    assert file_sync.pack(folder, FILES) == FILES
    assert fetched == ["a reference"] * 2


def test_a_node_uses_the_store_and_project_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"MLFLOW_TRACKING_TOKEN": "old", DRIVER: "host 1", "HOME": "/root"})
    trial_hosts._set_environment({"MLFLOW_TRACKING_URI": "http://server", "ACCORD_PROJECT": "my:PROJECT"})
    assert os.environ == {
        "HOME": "/root",
        "MLFLOW_TRACKING_URI": "http://server",
        "ACCORD_PROJECT": "my:PROJECT",
    }
