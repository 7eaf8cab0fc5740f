import json
import socket
from pathlib import Path

import pytest
from hydra.errors import MissingConfigException

import accord
from accord.errors import UserError
from accord.sweep import app
from accord.sweep.ray import cluster
from seqmnist.localhost import HOST


def test_other_nodes_need_a_tracking_server() -> None:
    cluster.check_store("sqlite:////a/mlflow.db", nodes=1)
    cluster.check_store("https://server", nodes=2)
    with pytest.raises(UserError, match="has 2 nodes, and the others can't reach sqlite on this machine"):
        cluster.check_store("sqlite:////a/mlflow.db", nodes=2)
    with pytest.raises(UserError) as told:
        cluster.check_store("postgresql://user:secret@host/db", nodes=3)
    assert "secret" not in str(told.value)


def test_the_code_of_accord_and_of_the_project_is_sent_once() -> None:
    own = str(Path(accord.__file__).parent)
    assert cluster.packages(["accord"]) == [own]
    assert cluster.packages(["json"]) == [own, str(Path(json.__file__).parent)]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://head:10001", r"= ray://head:10001: run `ray start --address=\.\.\.` on this machine too"),
        ("head", "= head: no Ray cluster answers there"),
    ],
    ids=["a driver of its own", "a name"],
)
def test_an_address_without_a_cluster_is_refused_at_once(address: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        cluster.check_address(address)


def test_a_port_that_nothing_listens_on_is_refused_at_once() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))  # so that no other program takes the port
        address = f"{HOST}:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=r"no Ray cluster answers there \(Connection refused\)"):
            cluster.check_address(address)


def test_what_is_written_to_stderr_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    with cluster._stderr_kept() as kept:
        os.write(2, b"InvalidAuthToken")
        assert "no token or a wrong one" in cluster._why(ConnectionError("no"), kept)
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_errors_of_ray_become_one_line() -> None:
    crashed = type("WorkerCrashedError", (Exception,), {"__module__": "ray.exceptions"})
    with pytest.raises(UserError, match=r"\ARay: the worker died\Z"), cluster.ray_errors():
        raise crashed("\nthe worker died\nin many lines")
    with pytest.raises(KeyError), cluster.ray_errors():
        raise KeyError("a defect of ours")


def test_without_ray_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")  # removed after the test
    with (
        pytest.raises(UserError, match=r"Ray is not installed: activate an environment with accord\[ray\]"),
        app._user_errors(),
    ):
        raise MissingConfigException("Could not find 'hydra/launcher/ray'", missing_cfg_file="hydra/launcher/ray")
    with pytest.raises(UserError, match=r"Could not find 'cell/none' here\Z"), app._user_errors():
        raise MissingConfigException("Could not find 'cell/none'\nhere", missing_cfg_file="cell/none")
