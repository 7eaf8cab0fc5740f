"""The demo's web application, which serves the page and has the cells read drawings."""

from importlib import resources
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import AfterValidator, BaseModel, FailFast, Field

from seqmnist.config import View
from seqmnist.demo.reader import Reader
from seqmnist.demo.strokes import image_of
from seqmnist.localhost import guard
from seqmnist.measure.beliefs import READ

_HOW: dict[View, str] = {
    "rows": "row by row, from the top,",
    "columns": "column by column, from the left,",
    "pixels": "pixel by pixel, row after row,",
    "permuted_pixels": "pixel by pixel, in one fixed random order,",
}

_MAX_DRAWING_BYTES = 1 << 20
_MAX_POINTS = 5_000  # over all strokes; on the page, a path of about 15 canvas widths


def _check_length(strokes: list[Any]) -> list[Any]:
    if sum(map(len, strokes)) > _MAX_POINTS:
        raise ValueError(f"more than {_MAX_POINTS:,} points")
    return strokes


_Number = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Stroke = Annotated[list[tuple[_Number, _Number]], Field(max_length=_MAX_POINTS), FailFast()]
_Strokes = Annotated[list[_Stroke], Field(max_length=200), FailFast(), AfterValidator(_check_length)]


class Drawing(BaseModel):
    """A request of the page: the points (x, y) of each stroke, as fractions of the canvas, 0 to 1."""

    strokes: _Strokes


def application(readers: list[Reader], view: View) -> FastAPI:
    """Return the web application on which these cells read digits, in the pixel order of a view."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    guard(app, largest=_MAX_DRAWING_BYTES)
    page = resources.files("seqmnist.demo").joinpath("page.html").read_text("utf-8")
    page = page.replace("{{how}}", _HOW[view]).replace("{{read}}", READ[view])

    @app.exception_handler(RequestValidationError)
    def refuse(_request: Request, error: RequestValidationError) -> JSONResponse:
        """Respond with the first error and its location. FastAPI's default response repeats the whole input."""
        first = error.errors()[0]
        return JSONResponse({"detail": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}, 422)

    @app.get("/")
    def show() -> HTMLResponse:
        return HTMLResponse(page)

    @app.post("/read")
    def read(drawing: Drawing) -> dict[str, Any]:
        image = image_of(drawing.strokes)
        return {"image": image.tolist(), "cells": [reader.read(image) for reader in readers]}

    return app
