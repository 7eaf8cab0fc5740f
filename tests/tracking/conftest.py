from collections.abc import Iterator
from pathlib import Path

import pytest

import seqmnist.tracking  # noqa: F401  (before a test module imports MLflow: it turns MLflow's telemetry off)
from seqmnist.config import Config

# What decides where runs go; MLflow itself sets the first when it is given a store.
_VARIABLES = ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in _VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is removed afterwards, whoever sets it meanwhile
        monkeypatch.delenv(name)
    yield
    import mlflow

    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def _project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a project")
    (folder / "params.yaml").write_text("seeds: [42]\n")
    return folder


@pytest.fixture
def project(_project: Path, _environment: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory and the repository's root. All tests share its store: making one takes a second."""
    monkeypatch.chdir(_project)
    monkeypatch.setenv("DVC_ROOT", str(_project))
    return _project


@pytest.fixture
def config(tiny_config: Config, project: Path, request: pytest.FixtureRequest) -> Iterator[Config]:
    """A configuration whose experiment is the test's own; params.yaml is put back afterwards."""
    before = (project / "params.yaml").read_bytes()
    tracking = tiny_config.tracking.model_copy(update={"experiment": request.node.nodeid})
    yield tiny_config.model_copy(update={"tracking": tracking})
    (project / "params.yaml").write_bytes(before)
