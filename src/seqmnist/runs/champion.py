"""Loading of a registered model for serving, with a one-line error for each way in which it can fail."""

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
    """Load a registered model version, and silence what it prints at each prediction.

    Raises:
        UserError: The model can't be fetched or loaded, or could run code.
    """
    import mlflow

    what = f"{described(version)} of {version.name}"
    mlflow.set_tracking_uri(client.tracking_uri)
    # MLflow reads a model's path as a URI, and would unquote a %20 in it. So the folder has no % in its path.
    with _temporary_folder() as temporary:
        folder = _fetch(client, version, what, temporary)
        with _told(what):
            check_model(folder)
            start_tensorflow(shards=1)
            model = mlflow.pyfunc.load_model(str(folder))
    logging.getLogger("tensorflow").setLevel("ERROR")  # it would warn of each retracing by another batch size
    keras_model = model.get_raw_model()
    keras_model.predict = partial(keras_model.predict, verbose=0)  # Keras's global setting applies to one thread only
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
    """Copy the files of a version into `temporary`, and return the folder that has them."""
    import mlflow

    try:
        address = location(client, version)
        names = files(client, version)
        folder = mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=temporary) if names else None
    except Exception as error:  # MLflow, the file system and cloud clients raise many types
        raise UserError(f"the files of {what} can't be fetched: {_in_words(error)}") from None
    if folder is None:
        remedy = f"bring them back, or log the pipeline's models again by {own_command('sync')}"
        raise UserError(f"{what} has no files in {address}: {remedy}")
    return Path(folder)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn exceptions in the block into a `UserError`. It advises to delete the model only if its files are damaged."""
    try:
        yield
    except ImportError as error:
        raise UserError(f"{what} can't be loaded: {one_line(error)}; `make setup` installs what is missing") from None
    except MemoryError:
        raise UserError(f"{what} can't be loaded: there is not enough memory") from None
    except CodeError as error:
        remedy = "give the alias to another version in `make ui`"
        raise UserError(f"{what} is not loaded: {error}; {remedy}") from None
    except Exception as error:  # a broken model makes MLflow or Keras raise many types
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise UserError(f"{what} can't be loaded: {_in_words(error)}") from None
        broken = textwrap.shorten(one_line(error), 200)
        raise UserError(f"{what} can't be loaded, its files are damaged ({broken}): delete it in `make ui`") from None


def _in_words(error: Exception) -> str:
    """Return a one-line reason for an exception, preferably the operating system's own message."""
    if os.strerror(errno.ENOSPC) in str(error):
        return f"no space is left in {tempfile.gettempdir()}: free some, or set TMPDIR to another folder"
    found = re.search(r"\[Errno \d+\] (.+)", str(error))  # MLflow embeds it in longer texts and tracebacks
    return str(found[1]) if found else reason(error)
