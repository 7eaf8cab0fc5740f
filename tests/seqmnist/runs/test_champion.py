import errno
import importlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from accord.errors import UserError
from seqmnist.runs import champion
from seqmnist.runs.champion import load_version
from seqmnist.runs.model_guard import CodeError

# Raised where MLflow's loaders are imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")

WHAT = "version 7 of digits"


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Loads a version of a model that is there, and gives the one line by which that is refused."""
    importlib.import_module("mlflow.pyfunc")  # until then a stand-in, on which nothing can be set
    monkeypatch.setattr(champion, "start_tensorflow", lambda **_: None)
    monkeypatch.setattr(champion, "check_model", lambda _: None)
    monkeypatch.setattr(mlflow, "set_tracking_uri", lambda _: None)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/MLmodel").touch()
    version: Any = SimpleNamespace(name="digits", version="7", tags={})
    client: Any = SimpleNamespace(
        tracking_uri="sqlite://", get_model_version_download_uri=lambda *_: (tmp_path / "model").as_uri()
    )

    def run() -> str:
        with pytest.raises(UserError) as caught:
            load_version(client, version)
        (line,) = str(caught.value).splitlines()
        return line

    return run


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module named 'x'"), "can't be loaded: No module named 'x'; `make setup` installs"),
        (MemoryError(), "can't be loaded: there is not enough memory"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), f"no space is left in {tempfile.gettempdir()}: free some"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/x"), "can't be loaded: Permission denied: '/x'"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/x"), "can't be loaded: Too many open files: '/x'"),
        (CodeError("it has a y.Lambda"), "is not loaded: it has a y.Lambda; give the alias to another version"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_another_fault_than_broken_files_is_named_without_advice_to_delete(
    refusal: Callable[[], str], monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    monkeypatch.setattr(mlflow.pyfunc, "load_model", raising(error))
    line = refusal()
    assert line.startswith(WHAT)
    assert said in line
    assert "delete" not in line


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "model.keras"),
        OSError("Unable to synchronously open file (truncated file)"),  # of HDF5
        ValueError("bad"),
        KeyError("config"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_model_with_broken_files_is_to_be_deleted(
    refusal: Callable[[], str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(mlflow.pyfunc, "load_model", raising(error))
    assert re.fullmatch(rf"{WHAT} can't be loaded, its files are damaged \(.+\): delete it in `make ui`", refusal())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            MlflowException("Failures:\n[Errno 13] Permission denied: '/x'\nTraceback"),
            "Permission denied: '/x'",
        ),
        (MlflowException("Failure:\n[Errno 28] No space left on device: '/x' -> '/y'"), "no space is left in "),
        (OSError(errno.EIO, os.strerror(errno.EIO), "/x"), "Input/output error: '/x'"),
        (RuntimeError("no bucket"), "no bucket"),
    ],
)
def test_a_model_whose_files_can_not_be_fetched_is_not_to_be_deleted(
    refusal: Callable[[], str], monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", raising(error))
    assert refusal().startswith(f"the files of {WHAT} can't be fetched: {said}")


def test_a_missing_folder_is_to_be_brought_back(refusal: Callable[[], str], tmp_path: Path) -> None:
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    line = refusal()
    assert line.startswith(f"{WHAT} has no files in {(tmp_path / 'model').as_uri()}: bring them back, or ")
    assert "seqmnist sync" in line


@pytest.mark.parametrize("name", ["missing", "a%20b"])
def test_an_unfit_folder_for_temporary_files_is_named(
    refusal: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name != "missing":
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    assert "set TMPDIR to another" in refusal()
