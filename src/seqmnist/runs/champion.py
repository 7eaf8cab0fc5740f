"""Load a registered model to answer requests, or say in a line why that is impossible."""

import errno
import logging
import os
import re
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from accord.errors import UserError, one_line
from accord.project import own_command
from accord.tracking.connection import reason
from accord.tracking.registry import described, files, location
from seqmnist.runs.model_guard import CodeError, check_model
from seqmnist.training.runtime import start_tensorflow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.pyfunc import PyFuncModel

_OF_THE_MACHINE = (errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EROFS)


def load_version(client: "MlflowClient", version: "ModelVersion") -> "PyFuncModel":
    """Load the model of a version, which prints nothing when it is asked.

    Raises:
        UserError: It can't be fetched or loaded, or could run code.
    """
    import mlflow

    what = f"{described(version)} of {version.name}"
    mlflow.set_tracking_uri(client.tracking_uri)
    # In a folder of its own: MLflow reads a model's path as a URI, and would unquote one with a %20 in it.
    with _temporary_folder() as temporary:
        folder = _fetch(client, version, what, temporary)
        with _told(what):
            check_model(folder)
            start_tensorflow(shards=1)
            model = mlflow.pyfunc.load_model(str(folder))
    logging.getLogger("tensorflow").setLevel("ERROR")  # it warns of requests with other numbers of images
    keras_model = model.get_raw_model()
    keras_model.predict = partial(keras_model.predict, verbose=0)  # Keras's own setting holds for one thread
    return model


@contextmanager
def _temporary_folder() -> Iterator[str]:
    try:
        temporary = tempfile.TemporaryDirectory()
    except OSError as error:
        raise UserError(f"no folder for temporary files can be made: {error.strerror}; set TMPDIR to another") from None
    with temporary as folder:
        if unquote(folder) != folder:
            raise UserError(
                f"MLflow can't load a model from {folder}, which has a % in it: set TMPDIR to another folder"
            )
        yield folder


def _fetch(client: "MlflowClient", version: "ModelVersion", what: str, temporary: str) -> Path:
    """Copy the files of a version into a folder; return where they are in it."""
    import mlflow

    try:
        address = location(client, version)
        names = files(client, version)
        folder = mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=temporary) if names else None
    except Exception as error:  # of MLflow, the file system or a cloud's client
        raise UserError(f"the files of {what} can't be fetched: {_in_words(error)}") from None
    if folder is None:
        remedy = f"bring them back, or log the pipeline's models again by {own_command('sync')}"
        raise UserError(f"{what} has no files in {address}: {remedy}")
    return Path(folder)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Raise an exception within the block as a line; only where the files are broken it advises to delete the model."""
    try:
        yield
    except ImportError as error:
        raise UserError(f"{what} can't be loaded: {one_line(error)}; `make setup` installs what is missing") from None
    except MemoryError:
        raise UserError(f"{what} can't be loaded: there is not enough memory") from None
    except CodeError as error:
        remedy = "give the alias to another version in `make ui`"
        raise UserError(f"{what} is not loaded: {error}; {remedy}") from None
    except Exception as error:  # whatever a broken model makes MLflow or Keras raise
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise UserError(f"{what} can't be loaded: {_in_words(error)}") from None
        broken = textwrap.shorten(one_line(error), 200)
        raise UserError(f"{what} can't be loaded, its files are damaged ({broken}): delete it in `make ui`") from None


def _in_words(error: Exception) -> str:
    """Describe an exception in a line, by the operating system's words where it or its text has some."""
    if os.strerror(errno.ENOSPC) in str(error):
        return f"no space is left in {tempfile.gettempdir()}: free some, or set TMPDIR to another folder"
    found = re.search(r"\[Errno \d+\] (.+)", str(error))  # MLflow hides it among texts and tracebacks
    return str(found[1]) if found else reason(error)
