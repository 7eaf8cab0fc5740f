"""Serve the champion on this machine: `python -m seqmnist.serve`, by `make serve`.

The server is MLflow's own, with a check of the images before it. MLflow casts all pixels to integers, so an image
scaled to 0 to 1 would be read as a blank one.
"""

import json
import os
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Any

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
from seqmnist.runs.champion import load_version
from seqmnist.runs.models import registered_name

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

_FIRST_PORT = 5100
_MAX_REQUEST_BYTES = 1 << 26  # more than 10,000 images
_MAX_MESSAGE = 300  # characters
_TIMEOUT_SECONDS = 3600  # MLflow's default returns 504 while many large requests queue
_JSON = "application/json"
_FIELDS = ("inputs", "instances")  # fields in which MLflow accepts tensors


def main() -> None:
    """Load the champion, print the server's address, and serve until Ctrl-C."""
    configuration = config.load()
    client, _ = open_store(configuration.tracking)
    name = registered_name(configuration.data.name)
    version = find_champion(client, name)
    if version is None:
        raise UserError(f"{name} has no {CHAMPION} in {client.tracking_uri}: run `make repro`")
    print(f"loading {CHAMPION} of {name}: {described(version)} ...", flush=True)
    app = application(load_version(client, version))
    serve(app, listener(_FIRST_PORT), "  answers at {address}/invocations; docs/serving.md has requests")


def application(model: "PyFuncModel") -> FastAPI:
    """Return MLflow's scoring server for a model, with a check of each request's images."""
    from mlflow.pyfunc import scoring_server

    os.environ["MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"] = str(_TIMEOUT_SECONDS)
    app: FastAPI = scoring_server.init(model)

    @app.middleware("http")
    async def check(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        body = await request.body()  # too large a body fails here; inside MLflow's middleware it would be a 500
        if request.scope["path"] == "/invocations" and request.method == "POST":
            if request.headers.get("content-type", "").partition(";")[0].strip() != _JSON:
                return _refusal(f"the Content-Type must be {_JSON}", HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
            if message := await run_in_threadpool(problem, body):
                return _refusal(message, HTTPStatus.BAD_REQUEST)
        return await call_next(request)

    guard(app, largest=_MAX_REQUEST_BYTES)
    return app


def _refusal(message: str, status: HTTPStatus) -> JSONResponse:
    return JSONResponse({"error_code": "INVALID_PARAMETER_VALUE", "message": message}, status)


def problem(body: bytes) -> str | None:
    """Return a message that says what is wrong with a request's images, or None if they are valid."""
    try:
        request = json.loads(body)
    except ValueError as error:
        return f"the body is no JSON: {error}"[:_MAX_MESSAGE]
    except RecursionError:
        return "the JSON is nested too deeply"
    if isinstance(request, dict) and len(request) == 1:
        for field in _FIELDS:
            if field in request:
                return _problem(field, request[field])
    return f"the JSON must be an object with one field, {' or '.join(_FIELDS)}"


def _problem(field: str, images: Any) -> str | None:
    """Check nested lists without making an array, which could need more memory than there is."""
    wanted = f"{field} must be images [n, {SIZE}, {SIZE}] of whole numbers from 0 to 255"
    shape: list[int] = []
    values = [images]  # all values at the current nesting depth
    while (kinds := set(map(type, values))) == {list}:
        sizes = set(map(len, values))
        if len(sizes) > 1:
            return f"{wanted}; its lists have different lengths"
        shape += sizes
        values = list(chain.from_iterable(values))
    if shape[1:] != [SIZE, SIZE]:
        remedy = ": put [ ] round a single image" if shape == [SIZE, SIZE] else ""
        return f"{wanted}, not of shape {shape}{remedy}"[:_MAX_MESSAGE]
    if kinds != {int}:
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        return f"{wanted}, not {found}: send the pixels as they are, unscaled"
    low, high = min(values), max(values)
    return f"{wanted}, not {low if low < 0 else high}"[:_MAX_MESSAGE] if low < 0 or high > 255 else None


if __name__ == "__main__":
    run_command(main)
