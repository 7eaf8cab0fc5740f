import json
from pathlib import Path

import pytest
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf

import seqmnist
from seqmnist.errors import UserError
from seqmnist.local import HOST
from seqmnist.sweep import app, on_ray
from tests.ports import free_port


def test_only_rays_own_launcher_is_meant() -> None:
    for name, is_ray in [("ray_launcher.RayLauncher", True), ("ray_aws_launcher.RayAWSLauncher", False)]:
        launcher = OmegaConf.create({"_target_": f"hydra_plugins.hydra_ray_launcher.{name}"})
        assert on_ray.is_ray(launcher) is is_ray
    assert not on_ray.is_ray(OmegaConf.create({}))


def test_other_nodes_need_a_tracking_server() -> None:
    on_ray.check_store("sqlite:////a/mlflow.db", nodes=1)
    on_ray.check_store("https://server", nodes=2)
    with pytest.raises(UserError, match="has 2 nodes, and the others can't reach sqlite on this machine"):
        on_ray.check_store("sqlite:////a/mlflow.db", nodes=2)
    with pytest.raises(UserError) as told:
        on_ray.check_store("postgresql://user:secret@host/db", nodes=3)
    assert "secret" not in str(told.value)


def test_code_of_sweeps_and_of_the_project_is_shipped_once() -> None:
    own = str(Path(seqmnist.__file__).parent)
    assert on_ray.packages(["seqmnist"]) == [own]
    assert on_ray.packages(["json"]) == [own, str(Path(json.__file__).parent)]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://head:10001", r"= ray://head:10001: run `ray start --address=\.\.\.` on this machine too"),
        ("head", "= head: no Ray cluster answers there"),
        (f"{HOST}:{free_port()}", r"no Ray cluster answers there \(Connection refused\)"),
    ],
    ids=["a driver of its own", "a name", "a port"],
)
def test_an_address_where_no_cluster_is_is_refused_at_once(address: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        on_ray.check_address(address)


def test_what_is_written_to_stderr_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    with on_ray._stderr_kept() as kept:
        os.write(2, b"InvalidAuthToken")
        assert "no token or a wrong one" in on_ray._why(ConnectionError("no"), kept)
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_errors_of_ray_are_told_in_a_line() -> None:
    crashed = type("WorkerCrashedError", (Exception,), {"__module__": "ray.exceptions"})
    with pytest.raises(UserError, match=r"\ARay: the worker died\Z"), on_ray.telling_of_ray():
        raise crashed("\nthe worker died\nin many lines")
    with pytest.raises(KeyError), on_ray.telling_of_ray():
        raise KeyError("a defect of ours")


def test_where_ray_is_not_installed_it_is_said_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")  # so that it is removed afterwards
    with pytest.raises(UserError, match=r"Ray is not here: `make setup-cluster`"), app._telling():
        raise MissingConfigException("Could not find 'hydra/launcher/ray'", missing_cfg_file="hydra/launcher/ray")
    with pytest.raises(UserError, match=r"Could not find 'cell/none' here\Z"), app._telling():
        raise MissingConfigException("Could not find 'cell/none'\nhere", missing_cfg_file="cell/none")
