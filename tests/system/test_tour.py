"""notebooks/tour.ipynb runs on the results of a pipeline, and git has it with its outputs."""

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.projects import ROOT

TOUR = Path("notebooks/tour.ipynb")
MAX_BYTES = 200_000


def test_the_notebook_in_git_has_outputs_without_errors_and_is_small() -> None:
    text = (ROOT / TOUR).read_text(encoding="utf-8")
    cells = [cell for cell in nbformat.reads(text, as_version=4).cells if cell.cell_type == "code"]  # type: ignore[no-untyped-call]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"display_data", "execute_result", "stream"}
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert len(text) < MAX_BYTES
    assert "/home/" not in text
    assert str(ROOT) not in text
    assert all(not cell.metadata for cell in cells), "cells have metadata, such as the times of their execution"


@pytest.mark.slow
def test_the_notebook_runs_on_the_results_of_a_pipeline(reproduced: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("DVC_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(reproduced.root / "src"))
    notebook = nbformat.read(ROOT / TOUR, as_version=4)  # type: ignore[no-untyped-call]
    folder = {"metadata": {"path": str(reproduced.root / TOUR.parent)}}
    NotebookClient(notebook, timeout=600, resources=folder).execute()
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    (shown,) = [data["text/plain"] for data in outputs if "text/html" in data]
    for cell in ("rnn", "lstm"):
        selected = reproduced.metrics()[cell]["selected"]["test"]["accuracy"]
        assert f"{selected:.4f}".rstrip("0") in shown
