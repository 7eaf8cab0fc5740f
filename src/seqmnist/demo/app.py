"""The page's server: gives the page, and reads drawings."""

from importlib import resources
from typing import Annotated, Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

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

_MAX_DRAWING_BYTES = 1 << 20  # some 25,000 points
_Number = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Drawing(BaseModel):
    """What the page sends: the points of each stroke, x and y from 0 to 1 over the canvas."""

    strokes: Annotated[list[Annotated[list[tuple[_Number, _Number]], Field(max_length=5_000)]], Field(max_length=200)]


def application(readers: list[Reader], view: View) -> FastAPI:
    """The server of a page on which these cells read digits by a view."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    guard(app, largest=_MAX_DRAWING_BYTES)
    page = resources.files("seqmnist.demo").joinpath("page.html").read_text("utf-8")
    page = page.replace("{{how}}", _HOW[view]).replace("{{read}}", READ[view])

    @app.get("/")
    def show() -> HTMLResponse:
        return HTMLResponse(page)

    @app.post("/read")
    def read(drawing: Drawing) -> dict[str, Any]:
        image = image_of(drawing.strokes)
        return {"image": image.tolist(), "cells": [reader.read(image) for reader in readers]}

    return app
