"""Serve the champion on this machine: `python -m seqmnist.serve`, by `make serve`.

The server is MLflow's own. In front of it stands a check of the images, because MLflow makes whole numbers of any:
an image scaled to 0 to 1 would be answered as a blank one.
"""

import json
import tempfile
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from accord.errors import UserError
from accord.process import run_command
from accord.tracking.registry import CHAMPION, described, find_champion
from accord.tracking.store import open_store
from seqmnist import config
from seqmnist.data.splits import SIZE
from seqmnist.localhost import guard, listener, serve
from seqmnist.runs.model_guard import check_model
from seqmnist.runs.models import registered_name

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

_FIRST_PORT = 5100
_MAX_REQUEST_BYTES = 1 << 26  # more than 10,000 images
_FIELDS = ("inputs", "instances")  # where MLflow looks for tensors


def main() -> None:
    """Load the champion, print how to ask it, and serve until Ctrl-C."""
    import mlflow

    from seqmnist.training.runtime import start_tensorflow

    configuration = config.load()
    client, _ = open_store(configuration.tracking)
    name = registered_name(configuration.data.name)
    version = find_champion(client, name)
    if version is None:
        raise UserError(f"{name} has no {CHAMPION} in {client.tracking_uri}: run `make repro`")
    print(f"loading {CHAMPION} of {name}: {described(version)} ...", flush=True)
    mlflow.set_tracking_uri(client.tracking_uri)
    try:
        # In a folder of its own: MLflow reads a model's path as a URI, and would unquote one with a %20 in it.
        with tempfile.TemporaryDirectory() as temporary:
            folder = mlflow.artifacts.download_artifacts(f"models:/{name}/{version.version}", dst_path=temporary)
            check_model(Path(folder))
            start_tensorflow(shards=1)
            model = mlflow.pyfunc.load_model(folder)
    except Exception as error:  # whatever a broken model makes MLflow or Keras raise
        reason = textwrap.shorten(str(error), 200)
        raise UserError(f"{described(version)} of {name} can't be loaded ({reason}): delete it in `make ui`") from None
    serve(application(model), listener(_FIRST_PORT), "  answers at {address}/invocations; docs/serving.md has requests")


def application(model: "PyFuncModel") -> FastAPI:
    """Return MLflow's scoring server of a model, with the check in front of it."""
    from mlflow.pyfunc import scoring_server

    app: FastAPI = scoring_server.init(model)

    @app.middleware("http")
    async def check(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        body = await request.body()  # one that is too large ends here; within MLflow's middleware it would be a 500
        is_json = request.headers.get("content-type", "").startswith("application/json")
        checked = is_json and request.url.path == "/invocations"
        if checked and (message := await run_in_threadpool(problem, body)):
            return JSONResponse({"error_code": "INVALID_PARAMETER_VALUE", "message": message}, status_code=400)
        return await call_next(request)

    guard(app, largest=_MAX_REQUEST_BYTES)
    return app


def problem(body: bytes) -> str | None:
    """Tell the sender of a request what is wrong with its images; None if nothing is, or if MLflow will say it."""
    try:
        request = json.loads(body)
    except ValueError:
        return None
    except RecursionError:
        return "the JSON is nested too deeply"
    fields = [field for field in _FIELDS if isinstance(request, dict) and field in request]
    return _problem(fields[0], request[fields[0]]) if len(fields) == 1 else None


def _problem(field: str, value: Any) -> str | None:
    wanted = f"{field} must be images [n, {SIZE}, {SIZE}] of whole numbers from 0 to 255"
    try:
        images = np.array(value)
    except ValueError:
        return f"{wanted}; its lists have different lengths"
    if images.shape[1:] != (SIZE, SIZE):
        remedy = ": put [ ] round a single image" if images.shape == (SIZE, SIZE) else ""
        return f"{wanted}, not of shape {list(images.shape)}{remedy}"
    if images.dtype.kind not in "iu":
        return f"{wanted}, not {images.dtype}: send the pixels as they are, unscaled"
    if images.min(initial=0) < 0 or images.max(initial=0) > 255:
        return f"{wanted}, not from {images.min()} to {images.max()}"
    return None


if __name__ == "__main__":
    run_command(main)
