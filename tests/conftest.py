"""Options and fixtures of all tests: a data set of 80 images, a configuration that trains on it fast, and stores."""

import copy
import fcntl
import gzip
import hashlib
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from accord.compose import compose
from accord.project import Project, find_project
from accord.settings import Tracking
from seqmnist.config import Config, Data, validate
from tests.projects import EXAMPLE, Once, as_project
from tests.proxy import Proxy

if TYPE_CHECKING:
    from tests.servers import Server

CONF = Path(__file__).parents[1] / "conf"
CLUSTER = Path(__file__).parent / "cluster"
COUNTS = {"train": 60, "test": 20}
VALIDATION = 10
find_project()  # caches the project of this repository, since some tests change the working directory

# Environment variables that decide where runs are logged. MLflow sets the first one when it is given a store.
STORE_VARIABLES = ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME")

settings.register_profile("seqmnist", deadline=None)
settings.load_profile("seqmnist")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--campaign", action="store_true", help="inject all faults in the folders `faults`, not only a few"
    )
    parser.addoption("--cluster", action="store_true", help="collect tests/cluster, as `make test-cluster` does")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore tests/cluster, which needs the packages of .venv-cluster, unless --cluster is given."""
    return True if collection_path == CLUSTER and not config.getoption("cluster") else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect campaign tests unless --campaign is given; run slow tests first, so that all processes end together."""
    if not config.getoption("campaign"):
        left_out = [item for item in items if item.get_closest_marker("campaign")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    items.sort(key=lambda item: (item.get_closest_marker("slow") is None, "system" not in item.path.parts))


def draw_images(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return noise images uint8 [count, 28, 28] and labels uint8 [count], the classes 0 to 9 in turn.

    A bright bar marks the class: its rows are 2 * label to 2 * label + 7.
    """
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = np.random.default_rng(seed).integers(0, 40, (count, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 8, 4:24] = 250
    return images, labels


def idx(array: NDArray[np.uint8]) -> bytes:
    """Return the bytes of an IDX file, encoded independently of the package."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


def pickle_gz(value: object) -> bytes:
    """Return a gzip-compressed pickle that names NumPy's functions as NumPy 1 did."""
    plain = pickle.dumps(value, protocol=3).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    return gzip.compress(plain, compresslevel=1)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Return a function that makes a named folder once for all processes of a test session, and returns its path."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        folder, made = base / name, base / f"{name}.made"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # left by a process that failed halfway
                make(folder)
                made.touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def tiny_raw(once: Once) -> Path:
    """Return the folder of the four raw IDX files. Tests only read it; `raw_copy` is a copy to change."""

    def make(folder: Path) -> None:
        folder.mkdir()
        for seed, (split, prefix) in enumerate([("train", "train"), ("test", "t10k")]):
            images, labels = draw_images(COUNTS[split], seed)
            (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
            (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))

    return once("tiny raw", make)


@pytest.fixture
def raw_copy(tiny_raw: Path, tmp_path: Path) -> Path:
    """Return a copy of the four raw files that the test may change."""
    return shutil.copytree(tiny_raw, tmp_path / "raw copy")


@pytest.fixture(scope="session")
def tiny_data(tiny_raw: Path) -> Data:
    """Return the configuration of the data set in `tiny_raw`, with `tiny_raw` as its only source."""
    files = {}
    for key in ("train_images", "train_labels", "test_images", "test_labels"):
        (path,) = tiny_raw.glob(key.replace("test", "t10k").replace("_", "-") + "*")
        content = path.read_bytes()
        files[key] = {"name": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return Data.model_validate(
        {
            "name": "tiny",
            "validation": VALIDATION,
            "counts": COUNTS,
            "files": files,
            "sources": ["directory"],
            "directory": str(tiny_raw),
            "https": [],
            "pypi": None,
        }
    )


@pytest.fixture(scope="session")
def tiny_pickle(tiny_raw: Path) -> bytes:
    """Return the data set in `tiny_raw` as the member of a wheel: (images, labels) of train, validation and test.

    Images are float32 [n, 784] from 0 to 1, labels int64 [n].
    """

    def pair(prefix: str, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        pixels = np.frombuffer((tiny_raw / f"{prefix}-images-idx3-ubyte").read_bytes()[16:], np.uint8)
        labels = np.frombuffer((tiny_raw / f"{prefix}-labels-idx1-ubyte").read_bytes()[8:], np.uint8)
        images = (pixels.reshape(-1, 784) / 256).astype(np.float32)
        return images[start:stop], labels[start:stop].astype(np.int64)

    return pickle_gz((pair("train", 0, 45), pair("train", 45, 60), pair("t10k", 0, 20)))


@pytest.fixture(scope="session")
def to_pickle_gz() -> Callable[[object], bytes]:
    """Return the function that pickles and compresses any value as in `tiny_pickle`."""
    return pickle_gz


@pytest.fixture(scope="session")
def _composed() -> dict[str, Any]:
    return compose(CONF)[1]


@pytest.fixture
def tiny_values(_composed: dict[str, Any], tiny_data: Data) -> dict[str, Any]:
    """Return the values of conf/ with tiny data, 4 units, 2 epochs and batches of 10; the test may change them."""
    return _shrink(_composed, tiny_data)


@pytest.fixture(scope="session")
def tiny_config(_composed: dict[str, Any], tiny_data: Data) -> Config:
    """Return `tiny_values` as a validated configuration."""
    return validate(_shrink(_composed, tiny_data), "tiny")


def _shrink(composed: dict[str, Any], data: Data) -> dict[str, Any]:
    values = copy.deepcopy(composed)
    values["data"] = data.model_dump()
    values["train"] |= {"epochs": 2, "batch_size": 10}
    for cell in values["cells"].values():
        cell["units"] = 4
    return values


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Make examples/digits the current project and the working directory."""
    monkeypatch.chdir(EXAMPLE)
    yield from as_project("digits.project:PROJECT", monkeypatch)


@pytest.fixture
def no_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Unset the variables that name a store, before the test and after it."""
    for name in STORE_VARIABLES:
        monkeypatch.setenv(name, "")  # so that monkeypatch also removes a value that MLflow sets during the test
        monkeypatch.delenv(name)
    yield
    if mlflow := sys.modules.get("mlflow"):
        mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def _project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a project")
    shutil.copy(CONF.parent / "pyproject.toml", folder)
    (folder / "params.yaml").write_text("seeds: [42]\n")
    return folder


@pytest.fixture
def project(_project: Path, no_store: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a shared project the working directory and root. Tests share its store, since making one takes a second."""
    del no_store
    monkeypatch.chdir(_project)
    monkeypatch.setenv("DVC_ROOT", str(_project))
    return _project


@pytest.fixture
def tracking(project: Path, request: pytest.FixtureRequest) -> Iterator[Tracking]:
    """Yield settings for an experiment of the test's own in the store of `project`; restore params.yaml afterwards."""
    before = (project / "params.yaml").read_bytes()
    yield Tracking(uri=None, experiment=request.node.nodeid)
    (project / "params.yaml").write_bytes(before)


@pytest.fixture
def config(tiny_config: Config, tracking: Tracking) -> Config:
    """Return `tiny_config` with the experiment of `tracking`."""
    return tiny_config.model_copy(update={"tracking": tracking})


@pytest.fixture(scope="module")
def tracking_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Yield the port of a running MLflow server."""
    from tests.servers import Server

    server = Server(tmp_path_factory.mktemp("server"))
    try:
        server.start()
        yield server.port
    finally:
        server.stop()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Server"]:
    """Yield a running MLflow server that the test may kill and start again."""
    from tests.servers import Server

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # so that monkeypatch removes the value that a client sets
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def proxy(tracking_server: int) -> Iterator[Proxy]:
    """Yield a proxy of the server that can fail."""
    proxy = Proxy(tracking_server)
    yield proxy
    proxy.close()


@pytest.fixture
def remote(tracking: Tracking, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    """Return the settings of `tracking` at the server behind the proxy, with no retries and a timeout of 120 s."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")
    return tracking.model_copy(update={"uri": proxy.uri})
