import json
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import yaml
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from accord.errors import UserError
from accord.tracking.registry import CHAMPION
from accord.tracking.runs import RunRequest, stage_run
from accord.tracking.store import open_store
from seqmnist import config as configuration
from seqmnist import serve
from seqmnist.cells.model import build, exported
from seqmnist.config import Config, Sequence
from seqmnist.runs.model_guard import CodeError, check_model
from seqmnist.runs.models import log_model, registered_name
from seqmnist.training.runtime import start_tensorflow

# Raised where MLflow's loaders are imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")

DENSE = {"class_name": "Dense", "module": "keras.layers", "config": {"units": 10}, "registered_name": None}
MODEL = {"class_name": "Functional", "module": "keras.src.models.functional", "config": {"layers": [DENSE]}}
FLAVOURS: dict[str, dict[str, Any]] = {
    "keras": {"data": "data", "keras_backend": "tensorflow", "keras_version": "3", "save_exported_model": False},
    "python_function": {
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "loader_module": "mlflow.keras",
        "python_version": "3.11",
    },
}


def write_model(folder: Path, layers: Any = MODEL, **changes: Any) -> Path:
    """A model as MLflow lays it out, without weights; `changes` of fields are named as `keras__data`."""
    flavours: dict[str, Any] = {name: dict(fields) for name, fields in FLAVOURS.items()}
    for key, value in changes.items():
        flavour, _, field = key.partition("__")
        if field:
            flavours[flavour][field] = value
        else:
            flavours[flavour] = value
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": {k: v for k, v in flavours.items() if v is not None}}))
    with zipfile.ZipFile(folder / "data/model.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(layers))
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(CodeError) as caught:
        check_model(folder)
    (line,) = str(caught.value).splitlines()
    return line


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return np.zeros((1, 28, 28), np.uint8)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_a_logged_model_is_accepted(config: Config, kind: str, image: NDArray[np.uint8]) -> None:
    start_tensorflow(2)
    cell = config.cells["lstm"].model_copy(update={"type": kind})
    sequence = Sequence(view="permuted_pixels" if kind == "gru" else "columns")
    model = exported(build(cell, sequence, 42), cell, sequence)
    with stage_run(config.tracking, RunRequest("train", f"train@{kind}")) as run:
        run.model(lambda run_id: log_model(run_id, model, image, step=0))

    check_model(Path(mlflow.artifacts.download_artifacts(f"runs:/{run.id}/model")))


def test_empty_fields_are_accepted(tmp_path: Path) -> None:
    check_model(write_model(tmp_path / "model"))
    check_model(write_model(tmp_path / "without code", python_function__code=None))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"python_function__loader_module": "evil"}, "python_function.loader_module = 'evil', not 'mlflow.keras'"),
        ({"python_function__loader_module": "mlflow.sklearn"}, "python_function.loader_module = 'mlflow.sklearn'"),
        ({"python_function__loader_module": None}, "python_function.loader_module = None"),
        ({"python_function__code": "code"}, "python_function.code = 'code', which may run code"),
        ({"python_function__data": "data"}, "python_function.data = 'data'"),
        ({"python_function__python_model": "x.pkl"}, "python_function.python_model = 'x.pkl'"),
        ({"python_function__cloudpickle_version": "3"}, "python_function.cloudpickle_version = '3'"),
        ({"python_function__predict_fn": "__init__"}, "python_function.predict_fn"),
        ({"python_function": None}, "has no flavour python_function"),
        ({"keras": None}, "has no flavour keras"),
        ({"keras__data": "../other"}, "keras.data = '../other', not 'data'"),
        ({"keras__custom_objects": "x.pkl"}, "keras.custom_objects = 'x.pkl'"),
        ({"keras__save_exported_model": True}, "keras.save_exported_model = True, not False"),
        ({"sklearn": {"pickled_model": "model.pkl"}}, "the flavour sklearn, which may run code"),
    ],
    ids=str,
)
def test_an_mlmodel_with_further_fields_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    assert said in refusal(write_model(tmp_path / "model", **changes))


@pytest.mark.parametrize(
    "layer",
    [
        DENSE | {"class_name": "Lambda"},
        DENSE | {"class_name": "TFSMLayer"},
        {"class_name": "__lambda__", "config": {"value": "marshalled"}},
        DENSE | {"module": "os", "class_name": "system"},
        DENSE | {"module": "kerasevil"},
        DENSE | {"module": "evil", "registered_name": "evil>Dense"},
        DENSE | {"config": {"activation": {"class_name": "function", "config": "system", "module": "os"}}},
        DENSE | {"config": [[{"deep": DENSE | {"class_name": "Lambda"}}]]},
    ],
    ids=lambda layer: str(layer["class_name"]),
)
def test_layers_that_are_not_keras_own_are_refused(tmp_path: Path, layer: dict[str, Any]) -> None:
    layers = MODEL | {"config": {"layers": [DENSE, layer]}}
    assert "which may run code" in refusal(write_model(tmp_path / "model", layers))


def test_layers_of_this_package_are_accepted(tmp_path: Path) -> None:
    ours = DENSE | {"module": "seqmnist.cells.types.own", "class_name": "Own", "registered_name": "seqmnist>Own"}
    check_model(write_model(tmp_path / "model", MODEL | {"config": {"layers": [ours]}}))


def test_a_description_that_is_a_bomb_is_not_decompressed(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    with zipfile.ZipFile(folder / "data/model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", " " * (1 << 24))
    assert "more than 1,048,576 bytes" in refusal(folder)


@pytest.fixture
def serve_champion(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], str]:
    """Makes a folder the champion, runs `make serve` and gives the one line by which it is refused."""

    def run(folder: Path) -> str:
        values = config.model_copy(update={"data": config.data.model_copy(update={"name": tmp_path.name})})
        client, _ = open_store(values.tracking)
        name = registered_name(values.data.name)
        client.create_registered_model(name)
        version = client.create_model_version(name, source=str(folder))
        client.set_registered_model_alias(name, CHAMPION, version.version)
        monkeypatch.setattr(configuration, "load", lambda: values)
        monkeypatch.setattr(serve, "serve", lambda *_: pytest.fail("it was served"))
        with pytest.raises(UserError) as caught:
            serve.main()
        (line,) = str(caught.value).splitlines()
        return line

    return run


CODE = "import pathlib\npathlib.Path({!r}).touch()\ndef _load_pyfunc(path): return None\n"


def with_code(folder: Path, marker: Path) -> None:
    (folder / "code").mkdir()
    (folder / "code/own_loader.py").write_text(CODE.format(str(marker)))


class Touch:
    """Pickled, a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_champion_with_code_of_its_own_is_refused_and_not_run(
    serve_champion: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "marker"
    changes = {"python_function__loader_module": "own_loader", "python_function__code": "code"}
    folder = write_model(tmp_path / "model", **changes)
    with_code(folder, marker)

    line = serve_champion(folder)

    assert not marker.exists()
    assert line.startswith(f"version 1 of seqmnist-{tmp_path.name} is not loaded: its MLmodel has python_function.")
    assert "delete" not in line
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(MlflowException, match="missing required predict method"):
        mlflow.pyfunc.load_model(str(folder))
    assert marker.exists(), "it does nothing even where nothing is refused"


def test_a_pickled_champion_is_refused_and_not_unpickled(serve_champion: Callable[[Path], str], tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    folder = write_model(tmp_path / "model", python_function={"loader_module": "mlflow.sklearn", "data": "model.pkl"})
    (folder / "model.pkl").write_bytes(pickle.dumps(Touch(marker)))

    line = serve_champion(folder)

    assert not marker.exists()
    assert "python_function.data = 'model.pkl'" in line


def test_a_champion_with_a_lambda_is_refused_and_not_run(serve_champion: Callable[[Path], str], tmp_path: Path) -> None:
    start_tensorflow(2)
    import keras

    folder = write_model(tmp_path / "model")
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Lambda(lambda images: images)])
    model.save(folder / "data/model.keras")

    assert "keras.layers.Lambda, which may run code" in serve_champion(folder)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "MLmodel").unlink(),
        lambda folder: (folder / "MLmodel").write_text("flavors: [1"),
        lambda folder: (folder / "MLmodel").write_text("!!python/object/apply:os.system [exit]"),
        lambda folder: (folder / "data/model.keras").write_bytes(b"\x89HDF"),
        lambda folder: (folder / "data/model.keras").unlink(),
    ],
    ids=["no description", "no YAML", "YAML with a call", "no zip", "no layers"],
)
def test_a_broken_champion_gives_one_line(
    serve_champion: Callable[[Path], str], tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    folder = write_model(tmp_path / "model")
    spoil(folder)
    line = serve_champion(folder)
    assert "can't be loaded, its files are damaged (" in line
    assert line.endswith("): delete it in `make ui`")
